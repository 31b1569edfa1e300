//! The attack on a released head's mechanism: the same training, on made-up records, thousands of times.
//!
//! No private record is read, and none could be: the attack takes from the head what it *states* (method, dimension,
//! clipping norm, steps, DP noise) and runs the head's own training code on a table that it makes up, once with a canary and
//! once without. Whether the two can be told apart does not depend on other people's records; the made-up ones are
//! the worst case. Nothing is charged, and nothing that the attack's mechanism ([`cryptotl_privacy::AuditSums`]) gives can be
//! recorded as a release.
//!
//! * [`amount`]: how many trainings;
//! * [`target`]: what is attacked, and one training of it;
//! * [`made_up`]: the tables, and why they are the worst case;
//! * [`attack`]: all trainings, in parallel, to the evidence;
//! * [`state`]: the file with which a stopped audit goes on.

pub mod amount;
pub mod attack;
pub mod made_up;
pub mod state;
pub mod target;

pub use amount::{preset, runs};
pub use attack::{Sitting, derived, run};
pub use state::State;
pub use target::Target;
