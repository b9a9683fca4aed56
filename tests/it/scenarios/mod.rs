//! What users rely on, tried on real containers. Each scenario reads as the story of one user.

mod cache;
mod compose_only;
mod consistency;
mod costs;
mod daily;
mod data;
mod elastic;
mod extensions;
mod faults;
mod first_start;
mod health;
mod interruption;
mod modes;
mod refusals;
mod removal;
mod restart;
mod roles;
mod rolling;
mod rotation;
mod routing;
mod scaling;
mod secrets;
mod security;
mod status;
mod tuning;
mod volumes;
