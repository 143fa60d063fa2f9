//! What answers are worth, and for how long; and what follows from them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use super::entry::{Absence, Entry, Known, Origin, Stage};
use super::event::{Event, Failure, Observer};
use super::packet::{Glue, Records};
use super::question::{Question, RecordKind};
use super::resolver::{Due, Resolver};
use super::servers::MAX_SERVERS;
use super::service::Service;
use crate::backend::Backend;
use crate::time::Instant;

impl Resolver {
    /// Takes over what an answer says.
    pub(super) fn learn_records(
        &mut self,
        question: &Question,
        records: Records,
        ttl: Duration,
        glue: Vec<Glue>,
        observer: &mut impl Observer,
    ) {
        let is_srv = matches!(records, Records::Srv(_));
        let pause = self.pause_after(ttl);
        let changed = self.learn(question, Some(records), ttl, Origin::Answer);
        if is_srv && changed {
            self.reconcile();
        }
        self.rest(question, pause);
        for glue in glue {
            self.learn_glue(glue, pause, observer);
        }
    }

    /// Takes over what came along with a service that is asked again after `service_pause`.
    fn learn_glue(&mut self, glue: Glue, service_pause: Duration, observer: &mut impl Observer) {
        // What was not asked for is not kept, nor what comes with a target too many.
        let Some(entry) = self.entries.get(&glue.question) else {
            return;
        };
        // RFC 2181, section 5.4.1: what a server was asked weighs more than what it added.
        let holds = |it: &Known| it.expires.is_none_or(|at| at > self.now);
        let asked = entry.known.as_ref();
        let asked = asked.filter(|it| it.origin == Origin::Answer && it.records.is_some());
        if asked.is_some_and(holds) {
            return;
        }
        let pause = self.pause_after(glue.ttl);
        let is_resting = matches!(entry.stage, Stage::Resting(_));
        let addresses = Some(Records::Addresses(glue.addresses));
        self.learn(&glue.question, addresses, glue.ttl, Origin::Glue);
        if is_resting {
            // An eighth longer, if the service is asked first then, whose answer brings the same along.
            let longer = pause.saturating_add(pause / 8);
            let is_first = service_pause <= longer;
            self.rest(&glue.question, if is_first { longer } else { pause });
        }
        // Whether there are addresses of the other family may matter less now.
        if let Some(other) = glue.question.other_family() {
            self.ask_more(&other, observer);
        }
    }

    /// Believes that there are no records.
    pub(super) fn learn_that_there_are_none(&mut self, question: &Question, none: Absence) {
        let retry = self.config.query_retry_if_no_records_found;
        // That a host has addresses of one family only is no news.
        let most = if self.is_root(question) && !self.is_known_otherwise(question) {
            retry
        } else {
            self.config.query_interval
        };
        let ttl = none.ttl;
        let pause = ttl.unwrap_or(retry).min(most);
        let pause = pause.max(self.config.least_pause());
        let ttl = ttl.unwrap_or(Duration::ZERO);
        let had_records = self.entries.get(question).is_some_and(Entry::has_records);
        let changed = self.learn(question, None, ttl, Origin::Answer);
        if let Some(other) = question.other_family().filter(|_| none.no_such_name) {
            let entry = self.entries.get(&other);
            if entry.is_some_and(|it| !it.has_records()) {
                self.learn(&other, None, ttl, Origin::Answer);
            }
        }
        if changed && question.kind == RecordKind::Srv {
            self.reconcile();
        } else if had_records && !self.is_root(question) && !self.is_known_otherwise(question) {
            self.doubt_services();
        }
        self.rest(question, pause);
    }

    /// A target has gone, and so the service may have others: it is asked before that is made known.
    fn doubt_services(&mut self) {
        let services = [Some(&self.service), self.server_service.as_ref()];
        let roots = services.into_iter().flatten().flat_map(Service::roots);
        let roots: Vec<_> = roots.cloned().collect();
        for root in roots {
            if let Some(entry) = self.entries.get_mut(&root) {
                entry.in_doubt = true;
                if matches!(entry.stage, Stage::Resting(_)) {
                    entry.stage = Stage::Resting(Some(self.now));
                }
            }
            self.set_timer(&root);
        }
    }

    /// Keeps what was known before.
    pub(super) fn learn_nothing(
        &mut self,
        question: &Question,
        failure: Failure,
        observer: &mut impl Observer,
    ) {
        let Some(entry) = self.entries.get_mut(question) else {
            return;
        };
        let is_first = entry.known.is_none() && entry.failures == 0;
        let was_awaited = is_first || entry.in_doubt;
        entry.failures = entry.failures.saturating_add(1);
        let times = entry.failures;
        let doublings = (times - 1).min(31);
        let longest = self.config.query_retry_if_no_records_found;
        let pause = self.config.least_pause().saturating_mul(1 << doublings);
        let pause = pause.min(longest);
        observer.observe(&Event::LookupFailed {
            question,
            failure: &failure,
            times,
            pause,
        });
        entry.last_error = Some(failure);
        entry.in_doubt = false;
        // Nobody need wait for its answer any more. Other failures are no news, and many.
        if was_awaited {
            self.changed_since.get_or_insert(self.now);
        }
        self.rest(question, pause);
    }

    /// What was known is too old to be believed.
    pub(super) fn forget(&mut self, question: &Question, observer: &mut impl Observer) {
        let Some(entry) = self.entries.get_mut(question) else {
            return;
        };
        entry.known = None;
        entry.since = None;
        observer.observe(&Event::Expired { question });
        self.changed_since.get_or_insert(self.now);
        if question.kind == RecordKind::Srv {
            self.reconcile();
        }
    }

    /// Whether that is news.
    fn learn(
        &mut self,
        question: &Question,
        records: Option<Records>,
        ttl: Duration,
        origin: Origin,
    ) -> bool {
        let ttl = self.config.hardcoded_ttl.unwrap_or(ttl);
        let Some(entry) = self.entries.get_mut(question) else {
            return false;
        };
        let before = entry.known.as_ref().map(|known| &known.records);
        let changed = before != Some(&records);
        entry.known = Some(Known {
            records,
            origin,
            ttl,
            expires: self.now.after(ttl),
        });
        entry.failures = 0;
        entry.last_error = None;
        let was_in_doubt = mem::take(&mut entry.in_doubt);
        if changed || was_in_doubt {
            self.changed_since.get_or_insert(self.now);
        }
        self.set_timer(question);
        changed
    }

    /// How long until what has this TTL is asked again.
    fn pause_after(&self, ttl: Duration) -> Duration {
        let ttl = self.config.hardcoded_ttl.unwrap_or(ttl);
        let pause = ttl.min(self.config.query_interval);
        pause.max(self.config.least_pause())
    }

    /// Asks again after `pause`, and up to a sixteenth longer, so that what was learnt together is not asked together for ever.
    fn rest(&mut self, question: &Question, pause: Duration) {
        let pause = pause.saturating_add(self.dice.within(pause / 16));
        if let Some(entry) = self.entries.get_mut(question) {
            entry.stage = Stage::Resting(self.now.after(pause));
        }
        self.set_timer(question);
    }

    /// Whether it is asked for a service, or a host, itself.
    pub(super) fn is_root(&self, question: &Question) -> bool {
        let services = [Some(&self.service), self.server_service.as_ref()];
        let mut roots = services.into_iter().flatten().flat_map(Service::roots);
        roots.any(|root| root == question)
    }

    /// Sees to it that exactly those questions are asked whose answers are of use.
    pub(super) fn reconcile(&mut self) {
        let services = [Some(&self.service), self.server_service.as_ref()];
        let questions = services.into_iter().flatten();
        let wanted: BTreeSet<_> = questions
            .flat_map(|it| it.questions(&self.entries))
            .collect();
        let unwanted = self.entries.keys().filter(|it| !wanted.contains(it));
        let unwanted: Vec<_> = unwanted.cloned().collect();
        for question in unwanted {
            self.take_lookup(&question);
            let entry = self.entries.remove(&question);
            if let Some(at) = entry.and_then(|it| it.timer) {
                self.agenda.remove(&(at, Due::Entry(question)));
            }
        }
        // What waits is what is wanted: else a service that changes all the time would make it grow.
        self.turns.keep(|it| self.entries.contains_key(it));
        for question in wanted {
            if !self.entries.contains_key(&question) {
                self.add_entry(&question);
            }
        }
    }

    /// Names the backends, if there are others than before and nothing is to be waited for.
    pub(super) fn name_backends(&mut self, observer: &mut impl Observer) {
        let Some(since) = self.changed_since else {
            return;
        };
        self.meet_servers(observer);
        let unsettled = self.entries.values().any(Entry::is_awaited);
        if unsettled && !self.has_waited(since) {
            return;
        }
        // With nothing to name there is no hurry, and each answer that is awaited comes, or fails.
        if unsettled && !self.entries.values().any(Entry::has_addresses) {
            return;
        }
        let found = self.service.sightings(&self.entries, self.now);
        let is_empty = found.as_ref().is_none_or(|it| it.all.is_empty());
        if unsettled && is_empty {
            return;
        }
        self.changed_since = None;
        self.set_naming_timer(None);
        // That there are no backends has to be said by somebody. That nobody answers does not say it.
        if is_empty && !self.is_all_settled() {
            return;
        }
        let found = found.unwrap_or_default();
        let backends: Vec<Backend> = found.all.into_iter().map(|it| it.backend).collect();
        if self.named.as_ref() == Some(&backends) {
            return;
        }
        if let (Some(question), true) = (self.service.roots().first(), found.dropped > 0) {
            observer.observe(&Event::Dropped {
                question,
                count: found.dropped,
                what: "backends",
            });
        }
        self.tell(backends, observer);
    }

    /// Whether each question of the service was answered, or has been waited for for too long.
    fn is_all_settled(&self) -> bool {
        let questions = self.service.questions(&self.entries);
        let mut entries = questions.iter().filter_map(|it| self.entries.get(it));
        entries.all(Entry::is_settled)
    }

    /// Whether what has been known `since` then should be told, though more is to come: soon if it is the first there is, or if what
    /// is to come is but another family's addresses.
    fn has_waited(&mut self, since: Instant) -> bool {
        let first = self.named.as_ref().is_none_or(Vec::is_empty);
        let patience = if first || self.service.has_an_address_each(&self.entries) {
            PATIENCE
        } else {
            self.config.query_timeout.saturating_add(PATIENCE)
        };
        let until = since.after(patience);
        let over = until.is_some_and(|until| until <= self.now);
        self.set_naming_timer(until.filter(|_| !over));
        over
    }

    fn set_naming_timer(&mut self, at: Option<Instant>) {
        if let Some(old) = self.naming_timer.take() {
            self.agenda.remove(&(old, Due::Naming));
        }
        if let Some(at) = at {
            self.agenda.insert((at, Due::Naming));
        }
        self.naming_timer = at;
    }

    fn tell(&mut self, backends: Vec<Backend>, observer: &mut impl Observer) {
        let identity = |it: &Backend| (it.name.clone(), it.address);
        let before: BTreeSet<_> = self.named.iter().flatten().map(identity).collect();
        let after: BTreeSet<_> = backends.iter().map(identity).collect();
        let set: crate::backend::AllBackends = backends.as_slice().into();
        observer.observe(&Event::Changed {
            backends: &set,
            added: after.difference(&before).count(),
            removed: before.difference(&after).count(),
        });
        self.named = Some(backends);
        self.news = Some(set);
        self.sets += 1;
    }

    /// Takes over the servers that their service names.
    fn meet_servers(&mut self, observer: &mut impl Observer) {
        let Some(service) = &self.server_service else {
            return;
        };
        let questions = service.questions(&self.entries);
        let mut stand = questions.iter().filter_map(|it| self.entries.get(it));
        if stand.any(Entry::is_awaited) {
            return;
        }
        let Some(found) = service.sightings(&self.entries, self.now) else {
            return;
        };
        let (root, dropped) = (service.roots().first().cloned(), found.dropped);
        let found: Vec<SocketAddr> = found.all.iter().map(|it| it.backend.address).collect();
        let (added, removed) = self.servers.replace_found(&found);
        if added + removed == 0 {
            return;
        }
        let dropped = dropped + found.len().saturating_sub(MAX_SERVERS);
        if let (Some(question), true) = (&root, dropped > 0) {
            observer.observe(&Event::Dropped {
                question,
                count: dropped,
                what: "servers",
            });
        }
        observer.observe(&Event::Servers {
            count: self.servers.len(),
            added,
            removed,
        });
        if added > 0 {
            self.ask_again_what_is_not_known();
        }
    }

    /// Somebody new may know.
    fn ask_again_what_is_not_known(&mut self) {
        let unknown = self.entries.iter_mut().filter_map(|(question, entry)| {
            if entry.has_records() || !matches!(entry.stage, Stage::Resting(_)) {
                return None;
            }
            entry.stage = Stage::Resting(Some(self.now));
            Some(question.clone())
        });
        let unknown: Vec<_> = unknown.collect();
        for question in unknown {
            self.set_timer(&question);
        }
    }
}

/// How long the first backends wait for the addresses of others, and any for further addresses of their own.
const PATIENCE: Duration = Duration::from_secs(1);
