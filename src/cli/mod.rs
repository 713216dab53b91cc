//! The `farebox` command.
