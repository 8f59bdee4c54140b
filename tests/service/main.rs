//! The service as its callers see it: dumps in, answers out. One binary, so that it links once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first thing that is not as it says"
)]

mod board;
mod board_events;
mod cluster;
mod command_line;
mod counts;
mod explanations;
mod gpu_rules;
mod holds;
mod http_routes;
mod hub_user;
mod keep_off;
mod last_choices;
mod limits;
mod login;
mod login_hub;
mod nvidia_loading;
mod nvidia_sharing;
mod offers;
mod offers_page;
mod patches;
mod people;
mod places;
mod pools;
mod preferences;
mod rooms;
mod schema;
mod surveys;
mod vendors;
mod volumes;
mod waiting;
mod watching;
