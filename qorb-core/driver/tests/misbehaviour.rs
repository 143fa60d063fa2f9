//! Connectors that fail, panic, hang, block, answer late and lie, in each of their functions: each time it costs one slot
//! for as long as the policy allows, and nobody else notices.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::{
    Bench, Do, Step, TestRuntime, backend_at, drive, millis, now, secs, slots, wait_until,
};
use qorb_driver::Pool;
use qorb_driver::backend::{Backend, Connector, Error, Hooks};
use qorb_driver::claim::Handle;
use qorb_driver::policy::Policy;
use qorb_driver::resolvers::fixed::FixedResolver;

const BAD: [Do; 6] = [
    Do::Fail,
    Do::Panic,
    Do::WaitAndFail,
    Do::WaitAndPanic,
    Do::Hang,
    Do::HangOn,
];

/// How long a step may take.
fn limit(step: Step) -> Duration {
    let policy = Policy::default();
    match step {
        Step::Connect => policy.set_config.connect_timeout,
        Step::Check | Step::Recycle | Step::Close => policy.set_config.health_check_timeout,
        Step::Acquire => policy.claim_timeout,
    }
}

fn hooks(step: Step) -> Hooks {
    Hooks {
        is_valid: step == Step::Check,
        on_acquire: step == Step::Acquire,
        on_recycle: step == Step::Recycle,
        close: step == Step::Close,
    }
}

/// Four connections, one of which has just begun that step, in which it misbehaves.
fn misbehaving(step: Step, what: Do) -> Bench {
    let bench = Bench::fresh(hooks(step), slots(4));
    if step != Step::Connect {
        bench.rt.run();
    }
    bench.lab.script(step, [what]);
    match step {
        Step::Check => {
            while bench.lab.count(Step::Check) == 0 {
                bench.rt.advance(millis(10));
            }
        }
        Step::Acquire => {
            // Its client stays for a while.
            let mut claim = Box::pin(drive(bench.pool.claim()));
            if let Poll::Ready(Ok(handle)) = claim.poll() {
                drop(handle);
            }
            bench.rt.advance(limit(step));
        }
        Step::Recycle => drop(now(bench.pool.claim()).unwrap()),
        // Nobody says goodbye to what is broken; the policy makes it too many.
        Step::Close => bench.pool.set_policy(slots(3)).unwrap(),
        Step::Connect => {}
    }
    bench.rt.run();
    bench
}

/// The other three are lent as ever.
fn expect_others_served(bench: &Bench, count: usize) {
    let handles: Vec<Handle<_>> = (0..count)
        .map(|_| now(bench.pool.try_claim()).unwrap())
        .collect();
    drop(handles);
    bench.check();
}

#[test]
fn each_misbehaviour_costs_one_slot_for_as_long_as_the_policy_allows() {
    for step in [Step::Connect, Step::Check, Step::Recycle, Step::Close] {
        for what in BAD {
            let bench = misbehaving(step, what);
            let lasts = matches!(what, Do::Hang | Do::HangOn);
            expect_others_served(&bench, 3);
            if !lasts {
                bench.lab.open();
            }
            // What hangs is given exactly its time.
            let limit = if lasts { limit(step) } else { Duration::ZERO };
            if lasts && step != Step::Check {
                bench.rt.advance(limit.saturating_sub(millis(1)));
                expect_others_served(&bench, 3);
                assert_eq!(
                    bench.pool.stats().slots.unclaimed_slots,
                    3,
                    "{step:?} {what:?}"
                );
            }
            bench.rt.advance(limit + millis(40));
            let all = if step == Step::Close { 3 } else { 4 };
            let stats = bench.pool.stats();
            assert_eq!(stats.total_slots, all, "{step:?} {what:?}");
            expect_others_served(&bench, all);
            assert_eq!(bench.lab.opened() - bench.lab.closed(), all);
            assert_eq!(bench.rt.tasks(), 1, "only the steward is left");
        }
    }
}

#[test]
fn an_on_acquire_that_misbehaves_costs_its_claim_time_and_its_connection() {
    for what in BAD {
        let bench = misbehaving(Step::Acquire, what);
        bench.lab.open();
        bench.rt.advance(millis(40));
        expect_others_served(&bench, 4);
        assert_eq!(bench.lab.closed(), 1, "{what:?}");
        assert_eq!(bench.lab.opened(), 5, "{what:?}");
    }
}

#[test]
fn a_connect_or_check_that_blocks_its_thread_is_given_up_and_its_late_answer_is_of_no_use() {
    for step in [Step::Connect, Step::Check] {
        let bench = Bench::fresh(hooks(step), slots(2));
        if step == Step::Connect {
            bench.lab.script(step, [Do::Block]);
        } else {
            bench.rt.run();
            bench.lab.script(step, [Do::Block]);
        }
        let blocked = std::thread::spawn({
            let rt = bench.rt.clone();
            // Checks begin within an interval and an eighth of it.
            move || rt.advance(secs(34))
        });
        wait_until(|| bench.lab.count(step) > 0);
        // Another thread of the runtime goes on.
        bench.rt.run();
        drop(now(bench.pool.claim()).unwrap());
        bench.rt.advance(limit(step) + secs(1));
        let stats = bench.pool.stats();
        assert_eq!((stats.slots.unclaimed_slots, stats.total_slots), (2, 2));
        let opened = bench.lab.opened();
        bench.lab.open();
        blocked.join().unwrap();
        bench.rt.run();
        // A connection that came too late was opened, and closed at once; one that was checked too late was closed.
        let late = usize::from(step == Step::Connect);
        assert_eq!(bench.lab.opened() - opened, late);
        assert_eq!(bench.lab.closed(), 1);
        expect_others_served(&bench, 2);
    }
}

#[test]
fn hooks_that_block_hold_up_their_own_client_only() {
    for step in [Step::Acquire, Step::Recycle] {
        let bench = Bench::ready(hooks(step), slots(2));
        bench.lab.script(step, [Do::Block]);
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| drop(now(bench.pool.claim()).unwrap()));
            wait_until(|| bench.lab.count(step) > 0);
            for _ in 0..100 {
                drop(now(bench.pool.claim()).unwrap());
                bench.rt.run();
            }
            assert_eq!(bench.pool.stats().slots.claimed_slots, 1);
            bench.lab.open();
            slow.join().unwrap();
        });
        expect_others_served(&bench, 2);
        assert_eq!(bench.lab.closed(), 0);
    }
}

/// Its connections to port 1 are dead from the start, which a client notices when it uses them.
#[derive(Default)]
struct Lying(Mutex<BTreeMap<u16, usize>>);

/// Whether it is dead.
struct Alive(bool);

impl Connector for Lying {
    type Connection = Alive;
    const HOOKS: Hooks = Hooks {
        on_acquire: true,
        ..Hooks::NONE
    };

    async fn connect(&self, backend: &Backend) -> Result<Alive, Error> {
        let port = backend.address.port();
        *self.0.lock().unwrap().entry(port).or_default() += 1;
        Ok(Alive(port != 1))
    }

    async fn on_acquire(&self, conn: &mut Alive) -> Result<(), Error> {
        if conn.0 {
            Ok(())
        } else {
            Err(Error::other("nobody is there"))
        }
    }
}

#[test]
fn a_backend_whose_connections_are_dead_costs_no_claim_and_is_not_hammered() {
    let rt = TestRuntime::new();
    let connector = Arc::new(Lying::default());
    let resolver = FixedResolver::from_backends([1, 2].map(backend_at));
    let pool: Pool<Alive, TestRuntime> = Pool::builder("bench", resolver, Arc::clone(&connector))
        .policy(slots(4))
        .seed(1)
        .runtime(rt.clone())
        .build()
        .unwrap();
    rt.run();
    for _ in 0..600 {
        let handle = now(pool.claim()).expect("the other backend works");
        assert!(handle.0);
        drop(handle);
        rt.advance(millis(100));
        pool.audit().unwrap();
    }
    // In a minute, each of two slots tries a dozen times: twice as long after each failure.
    let connects = connector.0.lock().unwrap().clone();
    assert!(connects[&1] <= 2 * 12 && connects[&2] <= 4, "{connects:?}");
}
