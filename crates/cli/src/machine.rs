//! What the machine allows this process: threads and memory, and what may be left of it when it dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use rayon::ThreadPoolBuilder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::{Code, Failure, Result};

/// Makes the process end with words and a code where the system grants it little.
///
/// # Errors
/// A failure when not even the threads that were just there can be started again.
pub fn prepare() -> Result<()> {
    let limited =
        [Resource::As, Resource::Data].map(getrlimit).into_iter().any(|limit| limit.current.is_some());
    if limited {
        end_with_a_code_when_memory_runs_out();
    }
    start_threads(wanted_threads())
}

/// A failed allocation says so on stderr and aborts, in Rust and in SEAL. Where memory is limited on purpose, that is no
/// defect, and the code says it; elsewhere an abort stays the signal that it is.
fn end_with_a_code_when_memory_runs_out() {
    let always = Arc::new(AtomicBool::new(true));
    let code = Code::Failed as i32;
    // Without a handler the signal ends the process, as it would have.
    let _ = signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, code, always);
}

/// How many threads rayon would start by itself.
fn wanted_threads() -> usize {
    let chosen = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    chosen.filter(|n| *n > 0).unwrap_or_else(|| thread::available_parallelism().map_or(1, |n| n.get()))
}

/// Starts the pool of rayon's threads: fewer of them where the system grants fewer, and none but this one where it grants
/// none. Left to itself, the pool panics in its first use.
fn start_threads(wanted: usize) -> Result<()> {
    let granted = granted_threads(wanted);
    let builder = match granted {
        0 => ThreadPoolBuilder::new().num_threads(1).use_current_thread(),
        n => ThreadPoolBuilder::new().num_threads(n),
    };
    builder.build_global().map_err(|e| {
        Failure::failed(
            format!("the threads of this process cannot be started: {e}"),
            "allow it more threads (ulimit -u, the limits of the container) or more memory (ulimit -v)",
        )
    })
}

/// How many of `wanted` threads run at the same time when they are tried.
fn granted_threads(wanted: usize) -> usize {
    let gate = (Mutex::new(false), Condvar::new());
    let started = thread::scope(|scope| {
        let wait = || {
            let mut open = gate.0.lock().unwrap_or_else(|e| e.into_inner());
            while !*open {
                open = gate.1.wait(open).unwrap_or_else(|e| e.into_inner());
            }
        };
        let started =
            (0..=wanted).map_while(|_| thread::Builder::new().spawn_scoped(scope, wait).ok()).count();
        *gate.0.lock().unwrap_or_else(|e| e.into_inner()) = true;
        gate.1.notify_all();
        started
    });
    await_their_end();
    // One more was tried than is wanted, so that there is room for what else starts a thread.
    started.saturating_sub(1)
}

/// Waits until the system has counted off the threads that were tried: joining one does not mean that yet, and the pool
/// cannot be made a second time. Where that cannot be seen, nothing is waited for.
fn await_their_end() {
    let are_over = || match std::fs::read_dir("/proc/self/task") {
        Ok(tasks) => tasks.count() <= 1,
        Err(_) => true,
    };
    for _ in 0..100 {
        if are_over() {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Keeps what this process holds out of core dumps and away from debuggers of the same user: called before a secret key or
/// a private record is read or made.
pub fn keep_memory_private() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A handler of core dumps that is a program gets them whatever the limit says, but not of such a process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_are_granted_where_nothing_limits_them() {
        assert_eq!(granted_threads(3), 3);
        assert!(wanted_threads() >= 1);
    }
}
