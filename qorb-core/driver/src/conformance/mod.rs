//! One suite of tests for every runtime. An adapter that passes it keeps what pools promise.
//!
//! The tests are written once, against [`Runtime`] (and [`Network`](crate::runtime::Network), for finding backends by DNS), real UDP and TCP on loopback and, where there are any, Unix sockets. Their servers are threads that know
//! no runtime. What a runtime must be started with, its author says in a [`Harness`]; the macro
//! [`conformance_suite!`](crate::conformance_suite) then makes one `#[test]` of each case, under the same name everywhere:
//!
//! ```
//! use std::future::Future;
//! use std::io;
//! use std::net::{SocketAddr, TcpStream};
//! use qorb_driver::conformance::Harness;
//! # use qorb_driver::connectors::tcp::DialTcp;
//! # #[cfg(unix)] use qorb_driver::connectors::unix::DialUnix;
//! # use qorb_driver::runtime::{Bytes, Datagrams, Network, Runtime, Timer};
//! # use std::{net::UdpSocket, pin::Pin, task::{Context, Poll}, time::Instant};
//! # #[derive(Clone)] struct Mine;
//! # struct MineTimer;
//! # impl Mine {
//! #     fn new() -> Self { loop {} }
//! #     fn block_on<F: Future>(&self, _: F) -> F::Output { loop {} }
//! #     fn end(self) { loop {} }
//! # }
//! # impl Timer for MineTimer {
//! #     fn reset(self: Pin<&mut Self>, _: Instant) { loop {} }
//! #     fn poll_elapsed(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> { loop {} }
//! # }
//! # impl Runtime for Mine {
//! #     type Timer = MineTimer;
//! #     fn current() -> Option<Self> { loop {} }
//! #     fn now(&self) -> Instant { loop {} }
//! #     fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) { loop {} }
//! #     fn timer(&self) -> MineTimer { loop {} }
//! #     fn within<T>(&self, _: impl FnOnce() -> T) -> T { loop {} }
//! # }
//! # struct MySocket;
//! # impl Datagrams for MySocket {
//! #     fn poll_receive(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> { loop {} }
//! # }
//! # impl Bytes for MySocket {
//! #     fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> { loop {} }
//! #     fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> { loop {} }
//! # }
//! # impl Network for Mine {
//! #     type Udp = MySocket;
//! #     type Tcp = MySocket;
//! #     fn watch(&self, _: UdpSocket) -> io::Result<MySocket> { loop {} }
//! #     async fn connect(&self, _: SocketAddr) -> io::Result<MySocket> { loop {} }
//! # }
//! # #[derive(Default)] struct Dial;
//! # impl DialTcp for Dial {
//! #     type Stream = TcpStream;
//! #     async fn dial(&self, _: SocketAddr) -> io::Result<TcpStream> { loop {} }
//! # }
//! # #[cfg(unix)] impl DialUnix for Dial {
//! #     type Stream = std::os::unix::net::UnixStream;
//! #     async fn dial(&self, _: &str) -> io::Result<Self::Stream> { loop {} }
//! # }
//!
//! struct MyHarness(Mine);
//!
//! impl Harness for MyHarness {
//!     type Runtime = Mine;
//!
//!     fn start() -> Self {
//!         Self(Mine::new())
//!     }
//!
//!     fn runtime(&self) -> Mine {
//!         self.0.clone()
//!     }
//!
//!     fn run<F: Future>(&self, main: F) -> F::Output {
//!         self.0.block_on(main)
//!     }
//!
//!     fn shut_down(self) -> bool {
//!         self.0.end();
//!         true
//!     }
//! }
//!
//! qorb_driver::conformance_suite!(mine, MyHarness, Dial);
//! # fn main() {}
//! ```
//!
//! An adapter turns the feature `conformance` on among its `[dev-dependencies]`. A runtime with several kinds of executor
//! has a harness for each.
//!
//! No case asks that anything be fast. What must not happen too soon is measured; what must happen is waited for, up to
//! half a minute, for else a machine under load would fail it.

#![allow(clippy::missing_panics_doc, reason = "a case fails by a panic")]

use std::future::Future;

use crate::runtime::Runtime;

pub mod backends;
pub mod claims;
pub mod connectors;
pub mod crowds;
pub mod decisions;
pub mod dns;
pub mod endings;
pub mod hooks;
pub mod panics;
pub mod shutdown;
pub mod tasks;
pub mod timers;

mod lab;
mod nameserver;
mod rigged;
mod server;

/// How the suite uses a runtime: what differs between its executors, and no more.
pub trait Harness: Sized {
    /// What is tested.
    type Runtime: Runtime;

    /// Starts a runtime, or gets hold of the global one. Each case starts its own, several at the same time.
    fn start() -> Self;

    /// A handle to it, for pools.
    fn runtime(&self) -> Self::Runtime;

    /// Runs `main` to its end on the calling thread, as a user's `main` would. It may be called again. Tasks need not make
    /// progress in between.
    fn run<F: Future>(&self, main: F) -> F::Output;

    /// Ends the runtime: once this returns, none of its tasks runs, and all have been dropped. Gives `false`, and does nothing, where
    /// a runtime lives as long as its program; the cases that ask what happens after its end are then left out.
    fn shut_down(self) -> bool {
        false
    }
}

/// Makes the suite tests of the calling crate, in a module of the name given: one `#[test]` for each case.
///
/// Takes the module's name, the [`Harness`](crate::conformance::Harness), and the type that lends the runtime's streams
/// ([`DialTcp`](crate::connectors::tcp::DialTcp), [`DialUnix`](crate::connectors::unix::DialUnix) where there are Unix sockets, and
/// [`Default`]), which [`connectors!`](crate::connectors!) calls `Dial`.
#[macro_export]
macro_rules! conformance_suite {
    ($module:ident, $harness:ty, $dial:ty) => {
        mod $module {
            #[allow(unused_imports, reason = "for the names that the macro was given")]
            use super::*;

            $crate::conformance_suite! { @timers $harness;
                a_timer_waits_for_its_moment
                a_timer_that_was_never_armed_does_not_elapse
                a_timer_armed_anew_for_earlier_elapses_earlier
                a_timer_armed_anew_for_later_waits_until_then
                a_timer_armed_for_the_past_elapses_at_once
                a_timer_that_has_elapsed_can_be_armed_again
                a_timer_armed_for_the_far_future_can_be_brought_forward
                a_timer_wakes_a_task_that_sleeps
                a_timer_wakes_whoever_polled_it_last
                a_timer_may_be_dropped_while_it_is_armed
                many_timers_elapse_and_none_too_soon
                the_clock_never_runs_backwards
            }
            $crate::conformance_suite! { @tasks $harness;
                tasks_run_to_their_end
                tasks_may_be_spawned_from_any_thread
                a_task_may_spawn_others
                tasks_find_themselves_in_the_runtime
                within_is_inside_the_runtime_on_any_thread
                within_gives_back_what_it_is_given_and_may_be_nested
                within_survives_a_panic
            }
            $crate::conformance_suite! { @decisions $harness;
                the_same_script_gives_the_same_decisions
            }
            $crate::conformance_suite! { @claims $harness, $dial;
                a_pool_built_inside_a_runtime_runs_there
                a_pool_built_outside_runs_in_the_runtime_it_is_given
                a_connection_given_back_is_lent_again
                a_claim_that_is_not_to_wait_takes_what_is_idle_or_nothing
                a_discarded_connection_is_replaced
                a_detached_connection_stays_with_its_client
                ready_waits_for_connections
                claims_that_wait_are_served_first_come_first_served
                a_claim_that_waits_in_vain_ends_at_its_deadline_and_not_before
                a_claim_with_less_patience_ends_before_one_that_came_earlier
                a_claim_with_boundless_patience_is_served
                a_connect_that_hangs_is_given_up
                a_cancelled_claim_makes_way_for_the_next
                a_claim_dropped_once_it_was_granted_gives_its_connection_back
                a_claim_whose_task_moves_between_wakers_is_woken
            }
            $crate::conformance_suite! { @hooks $harness, $dial;
                a_recycle_that_is_done_at_once_is_done_before_the_drop_returns
                a_recycle_that_waits_is_finished_in_the_background
                a_recycle_that_fails_closes_the_connection
                a_recycle_that_hangs_is_given_up
                a_claim_waits_for_its_preparation
                a_preparation_that_fails_is_tried_with_another_connection
                a_preparation_that_hangs_ends_with_the_claim
                a_goodbye_is_waited_for
                hooks_run_inside_the_runtime_wherever_the_client_is
            }
            $crate::conformance_suite! { @panics $harness, $dial;
                a_connect_that_panics_fails_its_slot_and_not_the_pool
                a_check_that_panics_costs_one_connection
                a_preparation_that_panics_is_tried_with_another_connection
                a_recycle_that_panics_costs_one_connection
                a_goodbye_that_panics_ends_with_the_pool
                a_handle_dropped_by_a_panic_is_not_lent_again
            }
            $crate::conformance_suite! { @backends $harness, $dial;
                an_idle_connection_that_its_server_closed_is_found_and_replaced
                idle_connections_that_are_well_are_kept
                a_server_that_comes_late_is_found
                a_server_that_dies_and_returns_is_used_again
                while_one_server_is_down_the_other_serves
                a_pool_without_backends_says_so_and_serves_once_there_is_one
                a_backend_removed_while_a_client_holds_its_connection_is_drained
                connections_grow_old_and_are_replaced
                surplus_is_closed_when_slots_are_spread_anew
            }
            $crate::conformance_suite! { @endings $harness, $dial;
                terminate_closes_what_is_idle
                terminate_refuses_who_waits
                terminate_leaves_what_clients_hold
                terminate_stops_connects_under_way
                a_pool_ends_with_its_last_clone
                a_handle_may_be_dropped_outside_the_runtime
                a_handle_may_outlive_its_pool
            }
            $crate::conformance_suite! { @shutdown $harness, $dial;
                tasks_spawned_after_the_end_of_the_runtime_are_dropped
                claims_are_refused_once_the_runtime_has_ended
                claims_that_wait_are_refused_when_the_runtime_ends
                what_is_idle_is_closed_when_the_runtime_ends
                handles_stay_good_after_the_end_of_the_runtime_and_close_when_dropped
                connects_under_way_are_dropped_when_the_runtime_ends
                a_pool_built_on_a_runtime_that_has_ended_refuses_claims
            }
            $crate::conformance_suite! { @crowds $harness, $dial;
                many_tasks_share_few_connections
                many_threads_share_few_connections
                many_pools_in_one_process_keep_apart
                clients_in_another_runtime_are_served
                clients_that_come_and_give_up_at_random_leave_nothing_behind
            }
            $crate::conformance_suite! { @connectors $harness, $dial;
                options_reach_the_socket
                a_quiet_connection_is_valid_and_a_closed_one_is_not
                unread_data_is_an_answer_to_nobody_unless_the_server_may_speak_unasked
                a_tcp_connector_refuses_a_backend_on_a_unix_socket
                a_connect_that_is_refused_says_so
            }
            $crate::conformance_suite! { @dns $harness, $dial;
                a_service_is_found
                a_host_is_found_by_its_address
                a_long_answer_comes_over_tcp
                one_server_is_silent_and_another_answers
                one_server_is_down_and_another_answers
                each_query_has_an_id_and_a_port_of_its_own
                forged_answers_are_ignored_and_counted
                backends_outlive_an_outage
                an_empty_answer_is_believed
                a_pool_dropped_while_it_asks_leaves_nothing_open
                two_pools_find_their_services
            }
            #[cfg(unix)]
            $crate::conformance_suite! { @connectors $harness, $dial;
                sockets_do_not_block
                unix_sockets_are_connected_to_and_checked
                a_unix_connector_refuses_a_backend_on_the_network
                a_pool_over_unix_sockets_serves
            }
        }
    };
    (@$theme:ident $harness:ty; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::$theme::$case::<$harness>();
        })*
    };
    (@$theme:ident $harness:ty, $dial:ty; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::$theme::$case::<$harness, $dial>();
        })*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_the_suite() {
        let suite = include_str!("mod.rs");
        let themes = [
            include_str!("backends.rs"),
            include_str!("claims.rs"),
            include_str!("connectors.rs"),
            include_str!("crowds.rs"),
            include_str!("decisions.rs"),
            include_str!("dns.rs"),
            include_str!("endings.rs"),
            include_str!("hooks.rs"),
            include_str!("panics.rs"),
            include_str!("shutdown.rs"),
            include_str!("tasks.rs"),
            include_str!("timers.rs"),
        ];
        let lines = themes.iter().flat_map(|theme| theme.lines());
        let cases =
            lines.filter_map(|line| line.trim_start().strip_prefix("pub fn ")?.split('<').next());
        for case in cases {
            let listed = suite.lines().any(|line| line.trim() == case);
            assert!(listed, "{case} is not in the suite");
        }
    }
}
