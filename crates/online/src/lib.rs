//! Latest values per entity key: an embedded store and Redis.
