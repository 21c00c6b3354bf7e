//! Settlement: from receipts to coins, exactly once.
