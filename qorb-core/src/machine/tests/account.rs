//! What the machine says of itself.

use super::*;

/// Claimed, waiting, pending, connected, closing, slots in all, backends.
fn account(pool: &Pool) -> [usize; 7] {
    let it = &pool.machine;
    [
        it.claimed(),
        it.waiting(),
        it.pending(),
        it.connected(),
        it.closing(),
        it.total_slots(),
        it.backends(),
    ]
}

#[test]
fn it_counts_claims_slots_and_backends() {
    let policy = Policy {
        max_slots: 3,
        spares_wanted: 0,
        ..small()
    };
    let mut pool = Pool::new(policy);
    assert_eq!(account(&pool), [0, 0, 0, 0, 0, 0, 0]);
    pool.backends(&["a", "b", "c"]);
    assert_eq!(account(&pool), [0, 0, 0, 0, 0, 0, 3]);
    let claims: Vec<u64> = (0..5).map(|_| pool.wait(Patience::Policy)).collect();
    assert_eq!(account(&pool), [0, 5, 5, 0, 0, 3, 3]);
    pool.connect_all();
    assert_eq!(account(&pool), [3, 2, 5, 3, 0, 3, 3]);
    let grant = pool.collect(claims[0]);
    assert_eq!(account(&pool), [3, 2, 4, 3, 0, 3, 3]);
    pool.give_back(grant, Returned::Broken);
    assert_eq!(account(&pool), [2, 2, 4, 2, 0, 3, 3]);
    let totals = pool.machine.totals();
    assert_eq!(
        (totals.claims, totals.granted, totals.opened, totals.closed),
        (5, 3, 3, 1)
    );
    assert_eq!(pool.machine.stats().totals, totals);
    assert_eq!(pool.machine.policy().max_slots, 3);
}

#[test]
fn it_counts_goodbyes_and_what_is_recycled_for_the_last_time() {
    let policy = Policy {
        max_slots: 3,
        spares_wanted: 3,
        ..small()
    };
    let mut pool = Pool::with(policy, Hooks::ALL, Dice::scripted([]));
    pool.backends(&["a"]);
    pool.connect_all();
    let (one, two) = (pool.claim(), pool.claim());
    let (now, events) = (pool.now, &mut pool.events);
    pool.machine.recycling(now, one.slot, events).unwrap();
    assert!(!pool.machine.is_terminated());
    assert_eq!(pool.machine.closing(), 0);
    pool.accept(Input::Terminate);
    assert!(pool.machine.is_terminated());
    assert_eq!(account(&pool), [1, 0, 0, 1, 1, 2, 1], "one idle");
    let (now, events) = (pool.now, &mut pool.events);
    let job = pool.machine.recycling(now, two.slot, events).unwrap();
    assert_eq!(account(&pool), [0, 0, 0, 1, 2, 2, 1]);
    pool.accept(Input::RecycleFailed(job, &"unfit"));
    assert_eq!(pool.machine.closing(), 1);
}

#[test]
fn it_says_which_backends_fail_and_which_go() {
    let mut pool = Pool::new(small());
    pool.backends(&["a", "b", "c"]);
    let said = |pool: &Pool| {
        let backends = pool.machine.stats().backends.into_iter();
        let said = backends.map(|it| (it.online, it.failing, it.draining));
        said.collect::<Vec<_>>()
    };
    assert_eq!(said(&pool), [(false, false, false); 3]);
    pool.expect(&["connect a#1", "connect b#2"]);
    pool.connect("a#1");
    pool.connect_failed("b#2");
    let grant = pool.claim();
    pool.backends(&["b", "c"]);
    assert_eq!(
        said(&pool),
        [
            (true, false, true),
            (false, true, false),
            (false, false, false)
        ]
    );
    pool.give_back(grant, Returned::Healthy);
    assert_eq!(said(&pool).len(), 2);
}

#[test]
fn it_says_when_a_backend_has_something_to_claim_and_when_no_longer() {
    let mut pool = Pool::connected_to(
        Policy {
            max_slots: 2,
            ..small()
        },
        &["a"],
    );
    assert_eq!(pool.told(&["online"]), ["a online, unclaimed: true"]);
    let one = pool.claim();
    assert_eq!(pool.told(&["online"]), [""; 0], "there is another");
    let two = pool.claim();
    assert_eq!(pool.told(&["online"]), ["a online, unclaimed: false"]);
    pool.release(one);
    assert_eq!(pool.told(&["online"]), ["a online, unclaimed: true"]);
    pool.release(two);
    assert_eq!(pool.told(&["online", "offline"]), [""; 0]);
}

#[test]
fn work_that_nobody_wants_any_more_has_failed_as_what_it_was() {
    let mut pool = Pool::connected_to(small(), &["a"]);
    let grant = pool.claim();
    pool.connect_all();
    let interval = pool.machine.policy().set_config.health_interval;
    let checked = pool.pass(interval + ms(1));
    assert!(
        checked.iter().any(|it| it.contains("check ")),
        "{checked:?}"
    );
    let now = pool.now;
    pool.machine.recycling(now, grant.slot, &mut ()).unwrap();
    pool.backends(&[]);
    let mut told = pool.told(&["failed: "]);
    told.sort();
    assert_eq!(
        told,
        [
            "a#1 check failed: Unwanted",
            "a#2 recycle failed: Unwanted",
            "a#3 check failed: Unwanted"
        ]
    );
}

/// Backends that went online, each with whether that was news, and offline.
#[derive(Default)]
struct Lines(Vec<&'static str>);

impl Observer for Lines {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::SetOnline { news: true, .. } => self.0.push("online"),
            Event::SetOnline { .. } => self.0.push("still online"),
            Event::SetOffline { .. } => self.0.push("offline"),
            _ => {}
        }
    }
}

#[test]
fn it_says_when_a_backend_goes_online_and_when_offline() {
    let mut pool = Pool::new(small());
    pool.backends(&["a"]);
    pool.expect(&["connect a#1", "connect a#2"]);
    let mut lines = Lines::default();
    for slot in ["a#1", "a#2"] {
        let input = Input::Connected(pool.jobs[slot]);
        let _ = pool.machine.handle(pool.now, input, &mut lines);
    }
    assert_eq!(lines.0, ["online"]);
    let grants: Vec<Grant> = (0..2)
        .map(|_| pool.machine.claim(&mut lines).unwrap())
        .collect();
    assert_eq!(lines.0, ["online", "still online"]);
    for grant in grants {
        let input = Input::Returned(grant.slot, Returned::Broken);
        let _ = pool.machine.handle(pool.now, input, &mut lines);
    }
    assert_eq!(lines.0, ["online", "still online", "offline"]);
}

/// Whether failed connects are news, in their order.
#[derive(Default)]
struct News(Vec<bool>);

impl Observer for News {
    fn observe(&mut self, event: &Event<'_>) {
        if let Event::ConnectFailed { news, .. } = event {
            self.0.push(*news);
        }
    }
}

#[test]
fn that_a_backend_cannot_be_connected_to_is_news_once_until_it_can() {
    let policy = Policy {
        max_slots: 1,
        ..small()
    };
    let mut pool = Pool::new(policy);
    pool.backends(&["a"]);
    let mut news = News::default();
    for works in [false, false, true, false] {
        pool.outputs();
        let job = pool.jobs["a#1"];
        let input = if works {
            Input::Connected(job)
        } else {
            Input::ConnectFailed(job, &"refused")
        };
        let _ = pool.machine.handle(pool.now, input, &mut news);
        if works {
            let grant = pool.claim();
            pool.give_back(grant, Returned::Broken);
        }
        pool.pass(ms(500));
    }
    assert_eq!(news.0, [true, false, true]);
}

#[test]
fn a_slots_number_says_which_backend_it_is_of() {
    let mut pool = Pool::new(small());
    pool.backends(&["a", "b"]);
    let numbers = core::iter::from_fn(|| pool.machine.poll_output());
    let numbers = numbers.map(|output| match output {
        Output::Connect { number, .. } => (number >> 48, number & 0xffff_ffff_ffff),
        other => panic!("{other:?}"),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [(0, 1), (1, 2)]);
}
