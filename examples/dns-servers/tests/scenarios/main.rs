//! The scenarios, each for each server: all of them on tokio, and on the other runtimes those in which the runtime has most to do.

mod changes;
mod records;
mod trouble;

use qorb_async_std::AsyncStd;
use qorb_dns_servers::bind::Bind;
use qorb_dns_servers::dnsmasq::Dnsmasq;
use qorb_dns_servers::hickory::Hickory;
use qorb_smol::Smol;
use qorb_tokio::Tokio;

macro_rules! tests {
    ($server:ty, $runtime:ty; $($file:ident: $($scenario:ident),+;)+) => { $($(
        #[test]
        fn $scenario() {
            crate::$file::$scenario::<$server, $runtime>();
        }
    )+)+ };
}

macro_rules! on_every_runtime {
    ($($name:ident: $server:ty;)+) => { $(
        mod $name {
            use super::*;

            tests! {
                $server, Tokio;
                records:
                    priorities_and_weights_reach_claims,
                    every_address_of_a_target_is_a_backend,
                    families_are_heeded,
                    aliases_lead_to_addresses,
                    a_service_may_be_an_alias,
                    a_host_needs_no_service,
                    a_target_of_nothing_is_no_backend,
                    what_does_not_fit_comes_over_tcp;
                changes:
                    backends_come_and_go_while_claims_are_held,
                    a_backend_moves_under_its_name,
                    a_name_that_nobody_knew_appears,
                    a_name_without_such_records_gets_some_and_loses_them;
                trouble:
                    an_outage_is_outlived,
                    a_dead_server_keeps_nobody_waiting,
                    a_dead_server_delays_no_change,
                    a_server_that_refuses_is_passed_over,
                    servers_are_found_by_a_service;
            }

            mod smol {
                use super::*;
                some_tests!($server, Smol);
            }

            mod async_std {
                use super::*;
                some_tests!($server, AsyncStd);
            }
        }
    )+ };
}

macro_rules! some_tests {
    ($server:ty, $runtime:ty) => {
        tests! {
            $server, $runtime;
            records:
                every_address_of_a_target_is_a_backend,
                what_does_not_fit_comes_over_tcp;
            changes:
                backends_come_and_go_while_claims_are_held;
            trouble:
                an_outage_is_outlived,
                a_dead_server_keeps_nobody_waiting;
        }
    };
}

on_every_runtime! {
    hickory: Hickory;
    bind: Bind;
    dnsmasq: Dnsmasq;
}
