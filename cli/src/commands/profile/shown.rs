use super::Profile;
use crate::commands::costs;
use crate::output::printable;

/// A profile as text.
pub fn text(profile: &Profile, is_compared: bool) -> String {
    let name = printable(&profile.name);
    let (Some(cost), Some(levels)) = (&profile.cost, &profile.levels) else {
        let error = profile.error.as_deref().unwrap_or("it was not run");
        return format!("{name}\n  not measured: {}\n", printable(error));
    };
    let mut text = format!(
        "{name}\n  {levels}  CPU {}, wall {}, memory {}, {} open files, {} rows (median of {} runs)\n",
        costs::millis(cost.cpu_ms),
        costs::millis(cost.wall_ms),
        costs::bytes(cost.memory_bytes as f64),
        cost.open_files,
        cost.rows,
        profile.runs,
    );
    for remark in &profile.remarks {
        text.push_str(&format!("  {remark}\n"));
    }
    if is_compared {
        text.push_str(&match &profile.fleet {
            Some(fleet) => format!(
                "  in the fleet: CPU p50 {}, p95 {}, {} runs on {} hosts, denylisted on {}\n",
                costs::percentile(fleet.cost.cpu_time.as_ref(), |cpu| cpu.p50, costs::millis),
                costs::percentile(fleet.cost.cpu_time.as_ref(), |cpu| cpu.p95, costs::millis),
                fleet.cost.executions,
                fleet.cost.hosts,
                fleet.denylisted_hosts,
            ),
            None => "  in the fleet: not scheduled\n".to_owned(),
        });
    }
    text
}
