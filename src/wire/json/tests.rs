//! The scanner keeps what it should, wherever it is cut.
