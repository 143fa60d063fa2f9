//! A world as it stands, and what follows from a move.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::moves::{Move, Step, Then};
use super::worlds::SmallWorld;
use crate::dice::Dice;
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Admission, Grant, Input, Output, Patience, Refusal, Returned};
use crate::machine::canon::Form;
use crate::sim::{Breach, Place, Watched};
use crate::time::Instant;

/// A machine, its owner, and what has ended and may yet be heard of.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) watched: Watched,
    /// The clock has gone back.
    behind: bool,
    ended: [Option<Ended>; MOST_ENDED],
}

/// Something that has ended. What is said of it from now on is late.
#[derive(Clone, Copy, Debug)]
enum Ended {
    Job(JobId),
    Slot(SlotId),
    Claim(ClaimId),
}

impl SmallWorld {
    /// As it was before anything happened.
    pub(super) fn begin(&self) -> Life {
        let policy = self.policies[0].clone();
        let dice = Dice::chosen(self.unit);
        let mut watched = Watched::new(policy, self.hooks, dice, BIRTH);
        if let Some(canary) = self.canary {
            watched.plant(canary);
        }
        Life {
            watched,
            behind: false,
            ended: [None; MOST_ENDED],
        }
    }
}

/// Looking.
impl Life {
    pub(super) fn breach(&self) -> Option<&Breach> {
        self.watched.breach()
    }

    /// Whether all promises were kept.
    pub(super) fn kept(&self) -> Result<(), Breach> {
        self.breach().map_or(Ok(()), |breach| Err(breach.clone()))
    }

    /// What tells it from others. There is no more to it than the machine, and whether the clock is behind it.
    pub(super) fn form<'f>(&self, form: &'f mut Form<'_>) -> &'f [u8] {
        form.rewrite(self.watched.machine(), self.watched.now());
        form.flag(self.behind);
        form.bytes()
    }

    /// Whether not all that could be drawn in the last step can be chosen.
    pub(super) fn is_cut(&mut self) -> bool {
        self.watched.dice().is_cut()
    }

    /// There is nothing to do for a time-out when nothing is due, and a second one changes nothing (promise 8); nor do late
    /// words of what has ended.
    pub(super) fn look_again(&self, form: &mut Form<'_>) -> Result<(), Breach> {
        let mut again = self.clone();
        let now = again.watched.now();
        // What is due would be done whatever it is told.
        if again.deadline().is_some_and(|at| at <= now) {
            return Ok(());
        }
        again.watched.handle_timeout();
        again.said_nothing(8)?;
        let before = again.form(form).to_owned();
        again.watched.handle_timeout();
        again.changed_nothing(8, &before, form)?;
        for ended in self.ended.iter().flatten() {
            again.hear_of(*ended);
        }
        again.changed_nothing(2, &before, form)
    }

    fn said_nothing(&mut self, promise: u8) -> Result<(), Breach> {
        if let Some(output) = self.watched.poll_output() {
            let what = |_: &Watched| format!("it was told nothing new, and said {output:?}");
            self.watched.blame(promise, what);
        }
        self.kept()
    }

    fn changed_nothing(
        &mut self,
        promise: u8,
        before: &[u8],
        form: &mut Form<'_>,
    ) -> Result<(), Breach> {
        self.said_nothing(promise)?;
        if self.form(form) != before {
            let what = |_: &Watched| "it was told nothing new, and changed".to_string();
            self.watched.blame(promise, what);
        }
        self.kept()
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.watched.poll_timeout().map(|(at, _)| at)
    }

    /// Claims that were not granted anything yet, those that were, and those that prepare what they were granted.
    fn claims(&self) -> impl Iterator<Item = (ClaimId, Option<Place>)> {
        let waiting = self.watched.waiting().map(|id| (id, None));
        let others = self.watched.places().filter_map(|(_, place)| match place {
            Place::Granted(id) | Place::Acquiring(id) => Some((id, Some(place))),
            _ => None,
        });
        waiting.chain(others)
    }

    fn claim_at(&self, index: u8) -> Option<ClaimId> {
        let mut claims = self.claims().map(|(id, _)| id);
        claims.find(|id| id.index() == index.into())
    }

    fn at(&self, index: u8) -> Option<(SlotId, Place)> {
        let mut places = self.watched.places();
        places.find(|(slot, _)| slot.index() == index.into())
    }
}

/// What can happen.
impl Life {
    /// All that can happen, each once.
    pub(super) fn moves(&self, world: &SmallWorld, moves: &mut Vec<Move>) {
        moves.clear();
        let names = 0..world.views.len() as u8;
        moves.extend(names.map(Move::Name));
        self.moves_of_slots(world, moves);
        self.moves_of_claims(world, moves);
        self.moves_of_time(world, moves);
        let others = 0..world.policies.len() as u8;
        if world.policies.len() > 1 {
            moves.extend(others.map(Move::Policy));
        }
        moves.push(Move::Terminate);
        moves.retain(|&what| (world.may)(what));
    }

    fn moves_of_slots(&self, world: &SmallWorld, moves: &mut Vec<Move>) {
        for (slot, place) in self.watched.places() {
            let slot = slot.index() as u8;
            match place {
                Place::Connecting(_) | Place::Checking(_) | Place::Recycling(_) => {
                    moves.extend([Move::Well(slot), Move::Badly(slot)]);
                }
                // A goodbye is over, well or not.
                Place::Closing(_) => moves.push(Move::Well(slot)),
                Place::Held(_) => {
                    moves.extend(RETURNS.map(|how| Move::GiveBack(slot, how)));
                    if world.hooks.on_recycle {
                        moves.push(Move::Recycle(slot));
                    }
                }
                Place::Idle | Place::Granted(_) | Place::Acquiring(_) => {}
            }
        }
    }

    fn moves_of_claims(&self, world: &SmallWorld, moves: &mut Vec<Move>) {
        let thens = if world.hooks.on_acquire {
            &[Then::Hold, Then::Prepare, Then::Fail][..]
        } else {
            &[Then::Hold]
        };
        let (mut clients, mut idle) = (0, false);
        for (id, place) in self.claims() {
            let id = id.index() as u8;
            clients += 1;
            match place {
                Some(Place::Granted(_)) => {
                    moves.extend(thens.iter().map(|&then| Move::Collect(id, then)));
                }
                Some(_) => moves.extend([Move::Acquired(id), Move::AcquireFailed(id)]),
                None => {}
            }
            moves.push(Move::Cancel(id));
        }
        for (_, place) in self.watched.places() {
            clients += usize::from(matches!(place, Place::Held(_)));
            idle |= place == Place::Idle;
        }
        if clients >= world.clients {
            return;
        }
        moves.push(Move::Claim(Then::Hold));
        if !idle {
            moves.push(Move::TryClaim(Then::Hold));
            return;
        }
        // Where a connection is at hand, it matters only to those who may want another whether they would wait.
        let both = thens[1..].iter();
        moves.extend(both.flat_map(|&then| [Move::Claim(then), Move::TryClaim(then)]));
    }

    fn moves_of_time(&self, world: &SmallWorld, moves: &mut Vec<Move>) {
        // A time that the machine has not been told cannot be taken back: what it was compared with is not in the form.
        let told = self.watched.machine().now() == self.watched.now();
        if told && !self.behind {
            moves.push(Move::Back);
        }
        let Some(at) = self.deadline() else {
            return;
        };
        moves.push(Move::Due);
        let now = self.watched.now();
        if at <= now {
            return;
        }
        moves.extend([Move::Meet, Move::Miss]);
        if now.after(world.unit).is_some_and(|next| next < at) {
            moves.push(Move::Pass);
        }
    }
}

/// What follows.
impl Life {
    /// Takes a step. Gives the next choice of draws that there is for the same move.
    pub(super) fn take(&mut self, world: &SmallWorld, step: Step) -> Option<u8> {
        self.take_and_tell(world, step, |_| {})
    }

    /// Takes a step, and says what followed.
    pub(super) fn told(&mut self, world: &SmallWorld, step: Step) -> String {
        let mut outputs = Vec::new();
        self.take_and_tell(world, step, |output| outputs.push(format!("\n{output:?}")));
        let at = self.watched.now().since(BIRTH);
        format!("{at:?}{}", outputs.concat())
    }

    /// Takes a step, and tells each thing that is to be done for it.
    pub(super) fn take_and_tell(
        &mut self,
        world: &SmallWorld,
        Step(what, choice): Step,
        mut tell: impl FnMut(&Output),
    ) -> Option<u8> {
        self.watched.dice().choose(choice);
        self.make(world, what);
        while let Some(output) = self.watched.poll_output() {
            tell(&output);
            if let Output::Abort { job, .. } = output {
                self.end(Ended::Job(job));
            }
        }
        self.watched.dice().next_choice()
    }

    fn make(&mut self, world: &SmallWorld, what: Move) {
        match what {
            Move::Name(n) => {
                if let Some(view) = world.views.get(usize::from(n)) {
                    self.hear(Input::Backends(view.clone()));
                }
            }
            Move::Claim(then) => self.claim(Patience::Policy, then),
            Move::TryClaim(then) => self.claim(Patience::AtOnce, then),
            Move::Collect(..) | Move::Cancel(_) | Move::Acquired(_) | Move::AcquireFailed(_) => {
                self.go_on(what);
            }
            Move::GiveBack(slot, how) => self.give_back(slot, how),
            Move::Recycle(slot) => {
                if let Some((slot, Place::Held(_))) = self.at(slot) {
                    self.watched.recycling(slot);
                    self.end(Ended::Slot(slot));
                }
            }
            Move::Well(slot) => self.answer(slot, true),
            Move::Badly(slot) => self.answer(slot, false),
            Move::Due | Move::Pass | Move::Meet | Move::Miss => self.pass(world, what),
            Move::Back => self.go_back(world),
            Move::Policy(n) => {
                if let Some(policy) = world.policies.get(usize::from(n)) {
                    self.hear(Input::Policy(policy.clone()));
                }
            }
            Move::Terminate => self.hear(Input::Terminate),
        }
    }

    /// The owner sees for itself whether the machine could use it.
    fn hear(&mut self, input: Input<'_>) {
        let _ = self.watched.handle(input);
    }

    pub(super) fn claim(&mut self, patience: Patience, then: Then) {
        match self.watched.claim() {
            Ok(grant) => self.granted(grant, patience, then),
            Err(ticket) => {
                let admission = self.watched.enqueue(ticket, patience);
                self.admitted(admission, patience, then);
            }
        }
    }

    fn admitted(&mut self, admission: Result<Admission, Refusal>, patience: Patience, then: Then) {
        if let Ok(Admission::Granted(grant)) = admission {
            self.granted(grant, patience, then);
        }
    }

    fn granted(&mut self, grant: Grant, patience: Patience, then: Then) {
        match then {
            Then::Hold => {}
            Then::Prepare => {
                // On a refusal, the connection is there to be given back.
                let _ = self.watched.acquiring(grant, patience);
            }
            Then::Fail => {
                let admission = self.watched.acquire_failed_at_once(grant, patience, &"no");
                self.end(Ended::Slot(grant.slot));
                self.admitted(admission, patience, Then::Hold);
            }
        }
    }

    /// A claim that has begun.
    fn go_on(&mut self, what: Move) {
        let (Move::Collect(index, _)
        | Move::Cancel(index)
        | Move::Acquired(index)
        | Move::AcquireFailed(index)) = what
        else {
            return;
        };
        let Some(claim) = self.claim_at(index) else {
            return;
        };
        match what {
            Move::Collect(_, then) => {
                if let Some(grant) = self.watched.collect(claim) {
                    self.granted(grant, Patience::Policy, then);
                }
            }
            Move::Cancel(_) => {
                self.watched.cancel(claim);
            }
            Move::Acquired(_) => {
                self.watched.acquired(claim);
            }
            _ => {
                let admission = self.watched.acquire_failed(claim, &"no");
                self.admitted(admission, Patience::Policy, Then::Hold);
            }
        }
        self.end(Ended::Claim(claim));
    }

    fn give_back(&mut self, slot: u8, how: Returned) {
        let Some((slot, Place::Held(_))) = self.at(slot) else {
            return;
        };
        if how == Returned::Healthy {
            self.watched.release(slot);
        } else {
            self.hear(Input::Returned(slot, how));
        }
        self.end(Ended::Slot(slot));
    }

    fn answer(&mut self, slot: u8, well: bool) {
        let Some((_, place)) = self.at(slot) else {
            return;
        };
        let (job, input) = match (place, well) {
            (Place::Connecting(job), true) => (job, Input::Connected(job)),
            (Place::Connecting(job), false) => (job, Input::ConnectFailed(job, &"no")),
            (Place::Checking(job), true) => (job, Input::Checked(job)),
            (Place::Checking(job), false) => (job, Input::CheckFailed(job, &"no")),
            (Place::Recycling(job), true) => (job, Input::Recycled(job)),
            (Place::Recycling(job), false) => (job, Input::RecycleFailed(job, &"no")),
            (Place::Closing(job), _) => (job, Input::Closed(job)),
            _ => return,
        };
        self.hear(input);
        self.end(Ended::Job(job));
    }

    fn pass(&mut self, world: &SmallWorld, what: Move) {
        let (now, Some(at)) = (self.watched.now(), self.deadline()) else {
            return;
        };
        let to = match what {
            Move::Pass => now.after(world.unit),
            Move::Miss => at.after(world.unit),
            _ => Some(at),
        };
        // What is due at once is due whatever the clock shows.
        if to > Some(now) {
            self.watched.set_clock(to.unwrap_or(now));
            self.behind = false;
        }
        if matches!(what, Move::Due | Move::Pass) {
            self.watched.handle_timeout();
        }
    }

    fn go_back(&mut self, world: &SmallWorld) {
        let latest = self.watched.machine().now().since(Instant::EPOCH);
        let earlier = Instant::EPOCH.after(latest.saturating_sub(world.unit));
        self.watched.set_clock(earlier.unwrap_or(Instant::EPOCH));
        self.behind = true;
    }
}

/// What has ended.
impl Life {
    fn end(&mut self, ended: Ended) {
        self.ended.rotate_right(1);
        self.ended[0] = Some(ended);
    }

    /// Whatever is still said of what has ended; the owner sees that it is not heeded.
    fn hear_of(&mut self, ended: Ended) {
        match ended {
            Ended::Job(job) => {
                self.hear(Input::Connected(job));
                self.hear(Input::ConnectFailed(job, &"late"));
                self.hear(Input::Checked(job));
                self.hear(Input::CheckFailed(job, &"late"));
                self.hear(Input::Recycled(job));
                self.hear(Input::RecycleFailed(job, &"late"));
                self.hear(Input::Closed(job));
            }
            Ended::Slot(slot) if !self.is_held(slot) => {
                self.watched.release(slot);
                self.watched.recycling(slot);
                self.hear(Input::Returned(slot, Returned::Broken));
            }
            Ended::Claim(claim) => {
                self.watched.collect(claim);
                self.watched.acquired(claim);
                self.watched.cancel(claim);
            }
            // It was claimed anew.
            Ended::Slot(_) => {}
        }
    }

    fn is_held(&self, slot: SlotId) -> bool {
        matches!(self.watched.place(slot), Some(Place::Held(_)))
    }
}

/// In what condition connections come back.
const RETURNS: [Returned; 4] = [
    Returned::Healthy,
    Returned::Broken,
    Returned::Abandoned,
    Returned::Detached,
];

/// So much of what has ended is heard of again.
const MOST_ENDED: usize = 3;

/// When worlds begin: late enough for everything to be long past that never was.
const BIRTH: Instant = Instant::from_nanos(1_000_000_000_000_000_000);
