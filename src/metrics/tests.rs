//! What a scrape says, over a watchdog that has been told things.
