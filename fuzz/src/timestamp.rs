//! What a timestamp authority answers.

use std::sync::OnceLock;

use lumos_timestamp::{Authority, granted};

use crate::Target;

const FILE: &[u8] = include_bytes!("../../crates/lumos-timestamp/tests/data/checkpoint");
const RSA: &[u8] = include_bytes!("../../crates/lumos-timestamp/tests/data/rsa.tsr");
const EC: &[u8] = include_bytes!("../../crates/lumos-timestamp/tests/data/ec.tsr");
const CHAIN: &str = include_str!("../../crates/lumos-timestamp/tests/data/ec.pem");

pub(crate) const REPLY: Target = Target {
    name: "timestamp",
    run: |bytes| {
        static AUTHORITY: OnceLock<Option<Authority>> = OnceLock::new();
        let authority = AUTHORITY.get_or_init(|| Authority::from_pem(CHAIN).ok());
        let stated = granted(bytes, FILE, 7).ok();
        let vouched = authority.as_ref().and_then(|a| a.verify(bytes, FILE).ok());
        // Whoever vouches vouches for what is stated; only the honest reply is vouched for.
        if let (Some(stated), Some(vouched)) = (stated, vouched) {
            assert_eq!(stated, vouched);
        }
        if let Some(vouched) = vouched {
            assert_eq!(granted(EC, FILE, 7), Ok(vouched));
        }
        drop(Authority::from_pem(&String::from_utf8_lossy(bytes)));
    },
    seeds: || vec![RSA.to_vec(), EC.to_vec(), CHAIN.into()],
};
