//! What reads the mirror in Redis: against real servers that die and come back.

mod redis_url;
