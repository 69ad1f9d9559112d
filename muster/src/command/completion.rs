//! Completion of the command line in a shell.

use crate::failure::Outcome;
use clap::Args;
use clap_complete::Shell;

/// Print a script that completes nouns, verbs and options in your shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster completion bash > /etc/bash_completion.d/muster
  muster completion zsh > \"${fpath[1]}/_muster\"
  muster completion fish > ~/.config/fish/completions/muster.fish")]
pub(crate) struct Completion {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(typed: &Completion) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(typed.shell, &mut super::tree(), "muster", &mut script);
    crate::output::text(&String::from_utf8_lossy(&script))
}
