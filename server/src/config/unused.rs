use std::collections::BTreeSet;

/// Settings of Fleet that are given and have no effect, by the reason.
#[derive(Debug, Default)]
pub(super) struct Unused(Vec<(&'static str, BTreeSet<String>)>);

impl Unused {
    pub fn add(&mut self, why: &'static str, name: String) {
        match self.0.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => drop(names.insert(name)),
            None => self.0.push((why, BTreeSet::from([name]))),
        }
    }

    /// One warning for all of them, and the lines that name them if there are too many for one.
    pub fn warning(&self) -> (Option<String>, Vec<String>) {
        const LONGEST: usize = 400;
        const NAMES_OF_LINE: usize = 10;
        let joined = |names: &[&str]| names.join(", ");
        let reasons: Vec<(&str, Vec<&str>)> =
            self.0.iter().map(|(why, names)| (*why, names.iter().map(String::as_str).collect())).collect();
        let whole: Vec<String> = reasons.iter().map(|(why, names)| format!("{} ({why})", joined(names))).collect();
        let whole = format!("these settings of Fleet have no effect here: {}", whole.join("; "));
        match reasons.iter().map(|(_, names)| names.len()).sum::<usize>() {
            0 => (None, Vec::new()),
            _ if whole.len() <= LONGEST => (Some(whole), Vec::new()),
            count => {
                let warning = format!("{count} settings of Fleet have no effect here; the next lines name them");
                let lines = reasons.iter().flat_map(|(why, names)| {
                    names.chunks(NAMES_OF_LINE).map(move |names| format!("no effect here ({why}): {}", joined(names)))
                });
                (Some(warning), lines.collect())
            }
        }
    }
}
