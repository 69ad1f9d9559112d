//! The manual as pages for `man`, made from the same words as `--help`.

use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use clap_mangen::Man as Pages;
use std::path::{Path, PathBuf};

/// Write the manual as pages for `man`: one for `muster`, and one for each noun and verb.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster man /usr/local/share/man/man1
  muster man | man -l -")]
pub(crate) struct Man {
    /// The directory to write the pages to [default: print the page of `muster`].
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes or prints.
pub(super) fn run(typed: &Man) -> Outcome {
    // Its names are then whole: `muster-device-list`.
    let mut tree = super::tree();
    tree.build();
    let Some(dir) = &typed.dir else {
        let mut page = Vec::new();
        Pages::new(tree).render(&mut page)?;
        return output::text(&String::from_utf8_lossy(&page));
    };
    std::fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
    write(&tree, dir)
}

fn write(command: &clap::Command, dir: &Path) -> Outcome {
    if command.get_name() == "help" {
        return Ok(());
    }
    let page = Pages::new(command.clone());
    page.generate_to(dir).map_err(|e| Failure::file("write", dir, &e))?;
    command.get_subcommands().try_for_each(|verb| write(verb, dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_its_example() {
        let dir = tempfile::tempdir().unwrap();
        run(&Man { dir: Some(dir.path().join("man1")) }).unwrap();
        for (page, says) in [
            ("muster.1", "muster serve"),
            ("muster-device-list.1", "muster device list --group pumps"),
            ("muster-ledger-verify.1", "wrong usage"),
        ] {
            let text = std::fs::read_to_string(dir.path().join("man1").join(page)).unwrap();
            assert!(text.replace("\\-", "-").contains(says), "{page}: {text}");
        }
    }
}
