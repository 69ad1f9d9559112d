//! Whether the registry can be written, as the last write found it: a disk that is full refuses
//! every device, while reads go on as if nothing were wrong.

use crate::house::House;
use registry::CommitError;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often a registry that could not be written is tried again: nobody else may come meanwhile.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Where the trial write goes among the notes; it carries nothing.
const SPACE: &str = "trial";

/// What the last write found: nothing, or a sentence for the operator.
#[derive(Debug, Default)]
pub struct Writing(RwLock<Option<String>>);

/// The writer of the registry is one thread, and whatever ended it, no other takes its place.
const ENDED: &str = "the registry cannot be written, since its writer has ended: the log says why; \
    start the server anew";

impl Writing {
    /// A write ended so. What a caller got wrong says nothing about the disk.
    pub fn went<T>(&self, ended: &Result<T, CommitError>) {
        let trouble = match ended {
            Ok(_) => None,
            Err(CommitError::Storage(cause)) => Some(format!(
                "the registry cannot be written ({cause}): look at the disk of the home; it is \
                 tried again by itself"
            )),
            Err(CommitError::Closed) => Some(ENDED.to_owned()),
            Err(CommitError::Conflict(_) | CommitError::Busy) => return,
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).is_some();
        match (known, &trouble) {
            (false, Some(trouble)) => tracing::error!("{trouble}"),
            (true, None) => tracing::info!("the registry can be written again"),
            _ => {}
        }
        if known || trouble.is_some() {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = trouble;
        }
    }

    /// Why the registry could not be written, where the last write failed, and what to do.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tries again while the last write failed. Ends with its task.
pub async fn keep_trying(house: Arc<House>) {
    loop {
        tokio::time::sleep(TRY_AGAIN).await;
        let Some(realm) = house.realms().into_iter().next() else { continue };
        if house.writing.trouble().is_some() {
            let keeper = house.clone();
            let tell = move |ended| keeper.writing.went(&ended);
            house.registry.note(realm.key, SPACE, b"", Some(Vec::new()), Box::new(tell));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_until_a_write_succeeds_and_a_writer_that_ended_for_good() {
        let writing = Writing::default();
        assert_eq!(writing.trouble(), None);

        writing.went::<()>(&Err(CommitError::Storage("the disk is full".into())));
        writing.went::<()>(&Err(CommitError::Busy));
        let told = writing.trouble().unwrap();
        assert!(told.contains("(the disk is full): look at the disk"), "{told}");

        writing.went(&Ok(()));
        assert_eq!(writing.trouble(), None);

        writing.went::<()>(&Err(CommitError::Closed));
        assert_eq!(writing.trouble().as_deref(), Some(ENDED));
    }
}
