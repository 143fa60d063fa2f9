// For tests, here and in the driver, which include this file.

pub(crate) type Change = fn(&mut Policy);

/// Each way in which a field of a policy can be impossible, and the field's name.
pub(crate) const IMPOSSIBLE: [(&str, Change); 12] = [
    ("max_slots", |p| p.max_slots = 0),
    ("max_slots", |p| p.max_slots = SLOT_LIMIT + 1),
    ("rebalance_interval", |p| {
        p.rebalance_interval = Duration::ZERO;
    }),
    ("codel.interval", |p| {
        p.codel = Some(CoDel {
            interval: Duration::ZERO,
            ..CoDel::default()
        });
    }),
    ("leak_after", |p| p.leak_after = Some(Duration::ZERO)),
    ("set_config.max_count", |p| p.set_config.max_count = 0),
    ("set_config.min_connection_backoff", |p| {
        p.set_config.min_connection_backoff = Duration::ZERO;
    }),
    ("set_config.max_connection_backoff", |p| {
        p.set_config.max_connection_backoff = Duration::ZERO;
    }),
    ("set_config.health_interval", |p| {
        p.set_config.health_interval = Duration::ZERO;
    }),
    ("set_config.health_check_timeout", |p| {
        p.set_config.health_check_timeout = Duration::ZERO;
    }),
    ("set_config.connect_timeout", |p| {
        p.set_config.connect_timeout = Duration::ZERO;
    }),
    ("set_config.max_lifetime", |p| {
        p.set_config.max_lifetime = Duration::ZERO;
    }),
];
