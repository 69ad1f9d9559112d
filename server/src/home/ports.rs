//! `run/ports.json`: the ports that are really listened on, as soon as the server is ready.

use super::{Home, HomeError, file};
use serde::{Deserialize, Serialize};

/// The real ports; `None` (JSON `null`) where nothing listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// EST and the device API.
    pub device: Option<u16>,
    /// Console and REST.
    pub operator: Option<u16>,
    /// CRL, OCSP, CA certificates, ledger.
    pub public: Option<u16>,
    /// MQTT.
    pub link: Option<u16>,
}

impl Ports {
    /// Writes them; who waits for the file finds it whole.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, home: &Home) -> Result<(), HomeError> {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        file::write(&home.ports(), text.as_bytes(), file::Mode::Public)
    }

    /// Reads the ones of a running server.
    ///
    /// # Errors
    /// [`HomeError::is_absent`] where no server is ready.
    pub fn read(home: &Home) -> Result<Self, HomeError> {
        let text = file::read_text(&home.ports())?;
        serde_json::from_str(&text)
            .map_err(|e| HomeError::Wrong(format!("`{}`: {e}", home.ports().display())))
    }

    /// Takes the file of an earlier run away, so that nobody takes its ports for ours.
    ///
    /// # Errors
    /// What the system said.
    pub fn forget(home: &Home) -> Result<(), HomeError> {
        match std::fs::remove_file(home.ports()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(HomeError::io("remove", &home.ports(), e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_listen_is_null() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        file::make_dir(&home.run()).unwrap();
        let ports =
            Ports { device: Some(8443), operator: Some(9443), public: Some(8080), link: None };

        ports.write(&home).unwrap();

        let text = std::fs::read_to_string(home.ports()).unwrap();
        assert_eq!(text.trim(), r#"{"device":8443,"operator":9443,"public":8080,"link":null}"#);
        assert_eq!(Ports::read(&home).unwrap(), ports);
        Ports::forget(&home).unwrap();
        assert!(Ports::read(&home).unwrap_err().is_absent());
    }
}
