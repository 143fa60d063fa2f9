//! Breadth first: level after level, each state once.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::finding::Finding;
use super::life::Life;
use super::moves::{Move, Step};
use super::seen::{Seen, fingerprint};
use super::worlds::SmallWorld;
use crate::machine::canon::{Bounds, Form};

/// An exploration of a [`SmallWorld`], as far as it has come.
///
/// [`deepen`](Self::deepen) goes one level deeper. Who has many threads lets them [expand](Self::expand) parts of the
/// frontier, as many at once as he likes, [absorbs](Self::absorb) what they found in the order of the parts, and
/// [ends the level](Self::end_level); what comes of it does not depend on how the frontier was divided.
#[derive(Clone, Debug)]
pub struct Explorer<'w> {
    world: &'w SmallWorld,
    bounds: Bounds,
    /// Every state that was found, and how, in the order in which they were found. So children of one state lie together,
    /// and in the order of their parents.
    nodes: Vec<Node>,
    /// Where the frontier begins among them, and where it ends.
    frontier: Range<usize>,
    depth: usize,
    seen: Seen,
    transitions: u64,
    cut: u64,
    calms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    step: Step,
}

/// What was found from a part of the frontier.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    found: Vec<(u128, Node)>,
    transitions: u64,
    cut: u64,
    calms: u64,
}

impl<'w> Explorer<'w> {
    /// Begins with the state after the world's opening.
    ///
    /// # Panics
    ///
    /// The world has no policy.
    pub fn new(world: &'w SmallWorld) -> Result<Self, Finding> {
        let bounds = world.bounds();
        let life = world.open()?;
        let mut seen = Seen::new();
        let mut form = Form::new(&bounds);
        seen.insert(fingerprint(life.form(&mut form)));
        // Nothing led here.
        let root = Node {
            parent: 0,
            step: Step(Move::Pass, 0),
        };
        Ok(Self {
            world,
            bounds,
            nodes: vec![root],
            frontier: 0..1,
            depth: 0,
            seen,
            transitions: 0,
            cut: 0,
            calms: 0,
        })
    }

    /// Goes one level deeper. Whether there is anything to go on from. What is found is the [earliest](Self::earliest).
    ///
    /// # Panics
    ///
    /// See [`absorb`](Self::absorb).
    pub fn deepen(&mut self) -> Result<bool, Finding> {
        let batch = self.expand(0..self.frontier());
        let batch = batch.map_err(|finding| self.earliest(finding))?;
        self.absorb(batch);
        self.end_level();
        Ok(self.frontier() > 0)
    }

    /// Makes every move from the states in this part of the frontier; beyond its end there are none.
    pub fn expand(&self, part: Range<usize>) -> Result<Batch, Finding> {
        let mut batch = Batch::default();
        let mut walk = Walk::new(self);
        let mut form = Form::new(&self.bounds);
        let mut moves = Vec::new();
        let ids = self.frontier.clone();
        for node in ids.skip(part.start).take(part.len()) {
            let here = walk.reach(node as u32);
            self.examine(node, here, &mut form, &mut batch)?;
            here.moves(self.world, &mut moves);
            for &what in &moves {
                let mut choice = Some(0);
                while let Some(this) = choice {
                    let step = Step(what, this);
                    let mut there = here.clone();
                    choice = there.take(self.world, step);
                    batch.transitions += 1;
                    batch.cut += u64::from(there.is_cut());
                    if there.breach().is_some() {
                        return Err(self.finding(node, Some(step)));
                    }
                    let print = fingerprint(there.form(&mut form));
                    if !self.seen.contains(print) {
                        let parent = node as u32;
                        batch.found.push((print, Node { parent, step }));
                    }
                }
            }
        }
        Ok(batch)
    }

    /// A closer look at a state that is new; and at some, a very close one.
    fn examine(
        &self,
        node: usize,
        here: &Life,
        form: &mut Form<'_>,
        batch: &mut Batch,
    ) -> Result<(), Finding> {
        let fine = here.look_again(form).is_ok();
        let calm = node.is_multiple_of(CALM_EVERY);
        batch.calms += u64::from(calm);
        if fine && (!calm || here.look_at_calm(self.world).is_ok()) {
            return Ok(());
        }
        Err(self.finding(node, None))
    }

    /// Enters what was found. To be called with the batches of one level, each once, in the order of the frontier.
    ///
    /// # Panics
    ///
    /// There are more states than 32 bits can number, which take 64 GiB at least.
    pub fn absorb(&mut self, batch: Batch) {
        self.transitions += batch.transitions;
        self.cut += batch.cut;
        self.calms += batch.calms;
        for (print, node) in batch.found {
            if self.seen.insert(print) {
                self.nodes.push(node);
            }
        }
        assert!(u32::try_from(self.nodes.len()).is_ok(), "too many states");
    }

    /// Goes on with what was found from the whole frontier.
    pub fn end_level(&mut self) {
        self.frontier = self.frontier.end..self.nodes.len();
        self.depth += usize::from(!self.frontier.is_empty());
    }

    /// How many states there are to go on from.
    pub fn frontier(&self) -> usize {
        self.frontier.len()
    }

    /// All states that can be reached in as many moves as this have been found.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many states have been found.
    pub fn states(&self) -> usize {
        self.nodes.len()
    }

    /// How many moves have been made.
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// How many of them asked for more draws than are chosen among, so that not everything was seen that could have followed.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// From how many states it was seen what comes once faults stop.
    pub fn calms(&self) -> u64 {
        self.calms
    }

    /// About how many bytes all this takes.
    pub fn memory(&self) -> usize {
        self.seen.bytes() + self.nodes.capacity() * size_of::<Node>()
    }

    /// The same, or what was broken after fewer moves. What comes once faults stop is looked at from one state in so many;
    /// where something is found there, this looks from each state that came before, which takes its time.
    #[must_use]
    pub fn earliest(&self, finding: Finding) -> Finding {
        if !finding.in_calm {
            return finding;
        }
        let moves = finding.steps.len().saturating_sub(self.world.opening.len());
        let mut walk = Walk::new(self);
        for node in 0..self.nodes.len() {
            walk.reach(node as u32);
            if walk.way.len() > moves {
                break;
            }
            if walk.here().look_at_calm(self.world).is_err() {
                return self.finding(node, None);
            }
        }
        finding
    }

    /// The nodes from the root to this one.
    fn path(&self, node: u32) -> Vec<u32> {
        let parent = |&node: &u32| (node > 0).then(|| self.nodes[node as usize].parent);
        let mut path: Vec<u32> = core::iter::successors(Some(node), parent).collect();
        path.reverse();
        path
    }

    /// The way to what was found there, or a step further, lived through again.
    fn finding(&self, node: usize, last: Option<Step>) -> Finding {
        let path = self.path(node as u32);
        let steps = path[1..].iter().map(|&node| self.nodes[node as usize].step);
        let opening = self.world.opening.iter().map(|&what| Step(what, 0));
        let steps: Vec<Step> = opening.chain(steps).chain(last).collect();
        let again = self.world.replay(&steps);
        again.expect_err("what is lived through again goes as it went")
    }
}

/// A walk along the frontier: the states on the way from the root to where it is.
#[derive(Debug)]
struct Walk<'e, 'w> {
    explorer: &'e Explorer<'w>,
    way: Vec<(u32, Life)>,
}

impl<'e, 'w> Walk<'e, 'w> {
    fn new(explorer: &'e Explorer<'w>) -> Self {
        let root = explorer.world.opened();
        Self {
            explorer,
            way: vec![(0, root)],
        }
    }

    fn reach(&mut self, node: u32) -> &Life {
        let path = self.explorer.path(node);
        let common = self.way.iter().zip(&path);
        let common = common.take_while(|((on_way, _), on_path)| on_way == *on_path);
        self.way.truncate(common.count());
        for &next in &path[self.way.len()..] {
            let mut life = self.here().clone();
            life.take(self.explorer.world, self.explorer.nodes[next as usize].step);
            self.way.push((next, life));
        }
        self.here()
    }

    fn here(&self) -> &Life {
        let last = self.way.last();
        &last.expect("the root is never left").1
    }
}

/// From one state in so many, the calm is lived through, which takes some hundred times as long as one move.
const CALM_EVERY: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::worlds;
    use super::*;
    use crate::sim::Canary;

    #[test]
    fn what_shows_once_faults_stop_is_looked_for_from_the_beginning() {
        let world = worlds::queue();
        let mut explorer = Explorer::new(&world).unwrap();
        while explorer.depth() < 3 {
            explorer.deepen().unwrap();
        }
        // As if it had been missed where it was not looked for.
        let restless = SmallWorld {
            canary: Some(Canary::Restless),
            ..world.clone()
        };
        explorer.world = &restless;
        let late = explorer.finding(explorer.nodes.len() - 1, None);
        assert_eq!(late.steps.len(), world.opening.len() + 3);
        let earliest = explorer.earliest(late.clone());
        assert_eq!(earliest.breach.promise, late.breach.promise);
        assert_eq!(earliest.steps.len(), world.opening.len());
        assert_eq!(explorer.earliest(earliest.clone()), earliest);
    }
}
