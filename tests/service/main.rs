//! The service as its callers see it: dumps in, answers out. One binary, so that it links once.

mod cluster;
mod command_line;
mod counts;
mod http_routes;
mod hub_user;
mod offers;
mod patches;
mod rooms;
mod watching;
