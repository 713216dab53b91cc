//! Rules of reading, one test each.
