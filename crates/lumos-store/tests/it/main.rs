//! What every store must keep, and what this one's files must survive.

mod contract;
mod crash;
mod damage;
mod faults;
mod files;
mod world;
