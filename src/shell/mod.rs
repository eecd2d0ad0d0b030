//! The only I/O; one file per outside thing. The loop in [`run`] owns the watchdog.
