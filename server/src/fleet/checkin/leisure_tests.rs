//! When answers are written: at once if somebody waits for them, else with those of other hosts.

use sea_orm::Set;

use super::*;
use crate::store::entity::hosts;
use crate::store::reports::HostReport;

const NOW: Moment = Moment(1_600_000_000_000_000);

fn after(seconds: u64) -> Moment {
    NOW.plus(Duration::from_secs(seconds))
}

fn report(host_id: i64) -> HostReport {
    let details = hosts::ActiveModel { hostname: Set("new".to_owned()), ..Default::default() };
    HostReport { host_id, details, ..HostReport::default() }
}

#[test]
fn answers_that_nobody_waits_for_wait_for_others() {
    let reports = Reports::default();
    assert!(!reports.are_due(after(1_000)), "there are none");
    reports.add(report(1), false, NOW);
    reports.add(report(2), false, after(7));
    assert!(!reports.are_due(after(7)));
    assert!(reports.are_due(after(8)), "the oldest has waited long enough");
    reports.add(report(3), true, after(7));
    assert!(reports.are_due(after(7)), "somebody waits");
}

#[test]
fn answers_of_many_hosts_wait_for_no_others() {
    let reports = Reports::default();
    for host in 1..64 {
        reports.add(report(host), false, NOW);
        reports.add(report(host), false, NOW);
    }
    assert!(!reports.are_due(NOW));
    reports.add(report(64), false, NOW);
    assert!(reports.are_due(NOW));
}
