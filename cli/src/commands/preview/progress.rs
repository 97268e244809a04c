use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Progress on standard error: a spinner on a terminal, plain lines elsewhere.
pub struct StartProgress {
    spinner: Option<ProgressBar>,
    last: Mutex<String>,
}

impl StartProgress {
    pub fn new() -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        Self { spinner, last: Mutex::default() }
    }

    /// Shows the current step.
    pub fn doing(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.to_owned());
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != what {
            output::note(&format!("    {what}"));
            what.clone_into(&mut last);
        }
    }

    /// Prints a completed step.
    pub fn done(&self, what: &str) {
        let line = format!("[+] {what}");
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| output::note(&line)),
            None => output::note(&line),
        }
    }

    /// Removes the spinner.
    pub fn finish(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
