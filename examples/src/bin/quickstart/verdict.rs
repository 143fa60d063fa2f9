//! What the pool promises, held against what was seen.

use std::fmt;

use crate::evidence::{Evidence, Joined, Spread, Stopped};
use crate::phase::Phase;
use crate::report::short;

/// One promise, and how it stands.
#[derive(Debug)]
pub(crate) struct Check {
    promise: &'static str,
    finding: Finding,
    seen: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    Kept,
    Broken,
    /// It was not put to the test.
    Open,
}

impl From<bool> for Finding {
    fn from(kept: bool) -> Self {
        if kept { Self::Kept } else { Self::Broken }
    }
}

impl Check {
    fn new(promise: &'static str, finding: impl Into<Finding>, seen: String) -> Self {
        let finding = finding.into();
        Self {
            promise,
            finding,
            seen,
        }
    }

    fn open(promise: &'static str, why: &str) -> Self {
        Self::new(promise, Finding::Open, why.to_owned())
    }

    pub(crate) fn finding(&self) -> Finding {
        self.finding
    }
}

/// `  ✓ promise                          what was seen`
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.finding {
            Finding::Kept => '✓',
            Finding::Broken => '✗',
            Finding::Open => '–',
        };
        write!(f, "  {mark} {:45} {}", self.promise, self.seen)
    }
}

/// All that the pool promises and this run can check.
impl Evidence {
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.caps(),
            self.ends(),
            self.failures(),
            self.sharing(),
            self.dead_connections(),
            self.down(),
            self.back(),
            self.joining(),
            self.drained(),
            self.evenness(),
            self.goodbyes(),
        ];
        if self.phases.contains(&Phase::NoDns) {
            checks.insert(7, self.without_dns());
        }
        checks
    }

    fn caps(&self) -> Check {
        let Self {
            max_slots,
            slots_peak,
            sockets_peak,
            looks,
            ..
        } = self;
        Check::new(
            "slots never outnumber the cap",
            slots_peak <= max_slots && sockets_peak <= max_slots,
            format!(
                "{looks} looks: at most {slots_peak} slots and {sockets_peak} connections of {max_slots}"
            ),
        )
    }

    fn ends(&self) -> Check {
        let tally = &self.tally;
        let (asked, granted) = (tally.asked(), tally.granted());
        let (failed, refused) = (tally.failed(), tally.refused_at_end());
        let pool = &self.totals;
        let agree = (pool.claims, pool.granted) == (asked, granted + self.declined)
            && (pool.refused, pool.cancelled) == (failed + refused, 0);
        let mut seen = vec![format!(
            "{asked} asked = {granted} granted + {failed} failed + {refused} refused"
        )];
        if !agree {
            seen.push(format!(
                "the pool counts {} = {} - {} that tried another + {} + {} cancelled",
                pool.claims, pool.granted, self.declined, pool.refused, pool.cancelled
            ));
        }
        if !self.clients_ended {
            seen.push("clients still wait".to_owned());
        }
        let once = asked == granted + failed + refused && self.clients_ended;
        Check::new(
            "every claim ends exactly once",
            once && agree,
            seen.join("; "),
        )
    }

    fn failures(&self) -> Check {
        let failed = self.tally.failed();
        let seen = match self.tally.first_failure() {
            Some(first) => format!("{failed} failed; first: {first}"),
            None => format!("{failed} failed of {}", self.tally.granted()),
        };
        Check::new("none fails while a server works", failed == 0, seen)
    }

    fn sharing(&self) -> Check {
        let (twice, garbled) = (self.lent_twice, self.tally.garbled());
        Check::new(
            "no connection is lent twice",
            twice == 0 && garbled == 0,
            format!("{twice} were used while in use; {garbled} clients got another's answer"),
        )
    }

    fn dead_connections(&self) -> Check {
        let promise = "a dead connection spoils one claim at most";
        let Some(Stopped { server, killed, .. }) = self.stopped else {
            return Check::open(promise, "no server was stopped");
        };
        let broken = self.tally.sum().broken;
        Check::new(
            promise,
            broken <= killed as u64,
            format!("{killed} died with {server}; {broken} of them in use or lent once more"),
        )
    }

    fn down(&self) -> Check {
        let promise = "a server that is down serves no claim";
        match &self.stopped {
            None => Check::open(promise, "no server was stopped"),
            Some(Stopped { server, .. }) => {
                let served = self.served(Phase::OneDown, server);
                Check::new(
                    promise,
                    served == 0,
                    format!("{served} claims on {server} while it was down"),
                )
            }
        }
    }

    fn back(&self) -> Check {
        let promise = "once back, it serves claims again";
        let Some(Stopped {
            server,
            found_again: Some(found),
            needed,
            ..
        }) = self.stopped
        else {
            return Check::open(promise, "no server came back");
        };
        let served = self.served(Phase::BackAgain, server) + self.served(Phase::Swapped, server);
        if found && served == 0 && !needed {
            return Check::open(
                promise,
                &format!("{server} was found, but no claim had to wait and needed it"),
            );
        }
        let found_text = if found { "was found" } else { "was not found" };
        Check::new(
            promise,
            found && served > 0,
            format!("{server} {found_text}; {served} claims since"),
        )
    }

    fn without_dns(&self) -> Check {
        let promise = "without DNS it goes on with what it knows";
        let Some(outage) = &self.outage else {
            return Check::open(promise, "it was too early to tell");
        };
        let row = self.tally.row(Phase::NoDns);
        let mut seen = vec![format!(
            "{} claims served in {} without an answer",
            row.served(),
            short(outage.lasted)
        )];
        if !outage.stale {
            seen.push("what DNS had said never ran out".to_owned());
        }
        if outage.lost > 0 {
            seen.push(format!("{} servers were lost", outage.lost));
        }
        if row.broken > 0 {
            seen.push(format!("{} connections broke", row.broken));
        }
        let unharmed = row.failed == 0 && row.broken == 0 && outage.lost == 0;
        Check::new(
            promise,
            unharmed && outage.stale && row.served() > 0,
            seen.join("; "),
        )
    }

    fn joining(&self) -> Check {
        let promise = "a new server is found";
        let Some(Joined { server, after }) = self.joined else {
            return Check::open(promise, "no server came");
        };
        let served = self.served(Phase::Swapped, server);
        let seen = match after {
            Some(after) => format!(
                "{server} was online within {}; {served} claims since",
                short(after)
            ),
            None => format!("{server} was not found"),
        };
        Check::new(promise, after.is_some(), seen)
    }

    fn drained(&self) -> Check {
        let promise = "a removed server is left alone";
        let Some(it) = &self.removed else {
            return Check::open(promise, "no server was removed");
        };
        let (server, open, after) = (it.server, it.open, it.served_after);
        let state = if it.drained { "drained" } else { "not drained" };
        Check::new(
            promise,
            it.drained && open == 0 && after == 0,
            format!("{server} {state}: {open} connections left, {after} claims after that"),
        )
    }

    fn evenness(&self) -> Check {
        let promise = "slots lie spread evenly";
        let Some(spread) = &self.spread else {
            return Check::open(promise, "it was too early to tell");
        };
        let seen = spread.iter().map(|it| match it.share {
            share if share == it.slots => format!("{} {share}", it.server),
            share => format!("{} {} instead of {share}", it.server, it.slots),
        });
        let seen = seen.collect::<Vec<_>>().join(", ");
        Check::new(promise, Spread::is_even(spread), seen)
    }

    fn goodbyes(&self) -> Check {
        let Self {
            opened,
            closed,
            sockets_left,
            ..
        } = self;
        let pool = &self.totals;
        let mut seen = vec![format!("{opened} opened, {closed} closed")];
        seen.push(match self.in_use_at_end {
            Some(in_use) => format!("{in_use} were in use when the pool ended"),
            None => "the pool did not end".to_owned(),
        });
        if *sockets_left > 0 {
            seen.push(format!("the servers still have {sockets_left}"));
        }
        if pool.opened != pool.closed {
            let (opened, closed) = (pool.opened, pool.closed);
            seen.push(format!("the pool counts {opened} and {closed}"));
        }
        let all = opened == closed && pool.opened == pool.closed && *sockets_left == 0;
        Check::new(
            "every connection is closed in the end",
            all && self.in_use_at_end.is_some(),
            seen.join("; "),
        )
    }

    fn served(&self, phase: Phase, server: &str) -> u64 {
        let served = &self.tally.row(phase).served;
        served.get(server).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Outage, Removed};
    use crate::tally::Tally;
    use qorb_driver::stats::Totals;
    use std::time::Duration;

    type Spoil = fn(&mut Evidence);
    type Claim = fn(&mut Tally, Duration);

    /// A run in which all went well.
    fn good() -> Evidence {
        let mut tally = Tally::default();
        let wait = Duration::from_millis(1);
        let served = [
            (Phase::AllUp, "beta"),
            (Phase::OneDown, "alpha"),
            (Phase::BackAgain, "beta"),
            (Phase::NoDns, "beta"),
        ];
        for (phase, server) in served {
            tally.ask();
            tally.serve(phase, wait, server);
        }
        tally.ask();
        tally.break_off(Phase::OneDown, wait);
        tally.ask();
        tally.refuse_at_end();
        let mut totals = Totals::default();
        (totals.claims, totals.granted, totals.refused) = (6, 5, 1);
        (totals.opened, totals.closed) = (7, 7);
        let spread = [("beta", 3), ("gamma", 3), ("delta", 2)].map(|(server, slots)| Spread {
            server: server.to_owned(),
            slots,
            share: slots,
        });
        Evidence {
            phases: &Phase::ALL,
            max_slots: 8,
            looks: 100,
            slots_peak: 8,
            sockets_peak: 8,
            tally,
            totals,
            lent_twice: 0,
            declined: 0,
            stopped: Some(Stopped {
                server: "beta",
                killed: 2,
                found_again: Some(true),
                needed: true,
            }),
            outage: Some(Outage {
                lasted: Duration::from_secs(2),
                stale: true,
                lost: 0,
            }),
            joined: Some(Joined {
                server: "delta",
                after: Some(wait),
            }),
            removed: Some(Removed {
                server: "alpha",
                drained: true,
                open: 0,
                served_after: 0,
            }),
            spread: Some(spread.into()),
            in_use_at_end: Some(2),
            clients_ended: true,
            opened: 8,
            closed: 8,
            sockets_left: 0,
        }
    }

    /// What is not found kept.
    fn amiss(evidence: &Evidence) -> Vec<(&'static str, Finding)> {
        let checks = evidence.checks().into_iter();
        let amiss = checks.filter(|it| it.finding() != Finding::Kept);
        amiss.map(|it| (it.promise, it.finding())).collect()
    }

    fn stopped(evidence: &mut Evidence) -> &mut Stopped {
        evidence.stopped.as_mut().expect("it was")
    }

    fn outage(evidence: &mut Evidence) -> &mut Outage {
        evidence.outage.as_mut().expect("there was one")
    }

    fn removed(evidence: &mut Evidence) -> &mut Removed {
        evidence.removed.as_mut().expect("it was")
    }

    #[test]
    fn a_good_run_keeps_all_promises() {
        assert_eq!(amiss(&good()), []);
    }

    #[test]
    fn each_promise_can_be_broken_in_each_way() {
        let wait = Duration::ZERO;
        let cases: [(&str, Spoil); 24] = [
            ("slots never outnumber the cap", |it| it.slots_peak = 9),
            ("slots never outnumber the cap", |it| it.sockets_peak = 9),
            ("every claim ends exactly once", |it| it.tally.ask()),
            ("every claim ends exactly once", |it| {
                it.clients_ended = false;
            }),
            ("every claim ends exactly once", |it| it.totals.claims += 1),
            ("every claim ends exactly once", |it| it.totals.granted += 1),
            ("every claim ends exactly once", |it| it.declined += 1),
            ("every claim ends exactly once", |it| it.totals.refused += 1),
            ("every claim ends exactly once", |it| {
                it.totals.cancelled += 1;
            }),
            ("no connection is lent twice", |it| it.lent_twice = 1),
            ("a dead connection spoils one claim at most", |it| {
                stopped(it).killed = 0;
            }),
            ("once back, it serves claims again", |it| {
                stopped(it).found_again = Some(false);
            }),
            ("without DNS it goes on with what it knows", |it| {
                outage(it).stale = false;
            }),
            ("without DNS it goes on with what it knows", |it| {
                outage(it).lost = 1;
            }),
            ("a new server is found", |it| {
                it.joined.as_mut().expect("it came").after = None;
            }),
            ("a removed server is left alone", |it| {
                removed(it).drained = false;
            }),
            ("a removed server is left alone", |it| removed(it).open = 1),
            ("a removed server is left alone", |it| {
                removed(it).served_after = 1;
            }),
            ("slots lie spread evenly", |it| it.spread = Some(vec![])),
            ("every connection is closed in the end", |it| it.opened += 1),
            ("every connection is closed in the end", |it| it.closed += 1),
            ("every connection is closed in the end", |it| {
                it.totals.opened += 1;
            }),
            ("every connection is closed in the end", |it| {
                it.sockets_left = 1;
            }),
            ("every connection is closed in the end", |it| {
                it.in_use_at_end = None;
            }),
        ];
        for (promise, spoil) in cases {
            let mut evidence = good();
            spoil(&mut evidence);
            assert_eq!(amiss(&evidence), [(promise, Finding::Broken)]);
        }
        let mut evidence = good();
        evidence.tally.ask();
        evidence.tally.fail(Phase::OneDown, &"too late");
        (evidence.totals.claims, evidence.totals.refused) = (7, 2);
        let promise = "none fails while a server works";
        assert_eq!(amiss(&evidence), [(promise, Finding::Broken)]);
        let checks = evidence.checks();
        assert!(checks.iter().any(|it| it.seen.contains("too late")));

        let claims: [(&str, Claim); 3] = [
            ("no connection is lent twice", |tally, wait| {
                tally.garble(Phase::AllUp, wait);
            }),
            ("a server that is down serves no claim", |tally, wait| {
                tally.serve(Phase::OneDown, wait, "beta");
            }),
            (
                "without DNS it goes on with what it knows",
                |tally, wait| {
                    tally.break_off(Phase::NoDns, wait);
                },
            ),
        ];
        for (promise, claim) in claims {
            let mut evidence = good();
            evidence.tally.ask();
            claim(&mut evidence.tally, wait);
            (evidence.totals.claims, evidence.totals.granted) = (7, 6);
            assert_eq!(amiss(&evidence), [(promise, Finding::Broken)]);
        }
    }

    #[test]
    fn slots_must_be_both_as_dealt_and_dealt_evenly() {
        for (slots, share) in [(4, 3), (4, 4)] {
            let mut evidence = good();
            let spread = evidence.spread.as_mut().expect("it was seen");
            (spread[0].slots, spread[0].share) = (slots, share);
            let promise = "slots lie spread evenly";
            assert_eq!(amiss(&evidence), [(promise, Finding::Broken)]);
        }
    }

    #[test]
    fn a_server_that_comes_back_must_serve_if_it_is_needed() {
        let promise = "once back, it serves claims again";
        for (needed, finding) in [(true, Finding::Broken), (false, Finding::Open)] {
            let mut evidence = good();
            stopped(&mut evidence).needed = needed;
            stopped(&mut evidence).server = "gamma";
            assert_eq!(amiss(&evidence), [(promise, finding)]);
        }
    }

    #[test]
    fn what_an_interrupted_run_did_not_come_to_is_left_open() {
        let mut evidence = good();
        (evidence.stopped, evidence.removed, evidence.spread) = (None, None, None);
        (evidence.outage, evidence.joined) = (None, None);
        let amiss = amiss(&evidence);
        assert_eq!(amiss.len(), 7);
        assert!(amiss.iter().all(|&(_, finding)| finding == Finding::Open));
    }
}
