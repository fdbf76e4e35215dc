//! Which errors carry a stable code, a page in `docs/errors/`.

use crate::remote::Refused;

/// The stable code of an error, where it or a cause of it has one.
#[must_use]
pub(crate) fn code_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let refused = cause.downcast_ref::<Refused>();
        let refused = refused.map(|refused| refused.code.clone());
        refused.or_else(|| own(cause).map(str::to_owned))
    })
}

fn own(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    macro_rules! first_of {
        ($($kind:ty)*) => {
            $(if let Some(error) = cause.downcast_ref::<$kind>() {
                return Some(error.code());
            })*
        };
    }
    first_of! {
        crate::commands::key::backup::BackupError
        crate::same_keys::OtherKey
        crate::storage::StorageError
        lumos_connect::ObjectError
        lumos_engine::DoorError
        lumos_engine::keyring::KeyError
        lumos_engine::cosigning::StartError
        lumos_engine::notary::NotaryError
        lumos_engine::witness::WitnessError
        lumos_http::HttpError
        lumos_ledger::tlog_policy::Error
        lumos_ledger::verify::Error
        lumos_policy::BundleError
        lumos_policy::CasesError
        lumos_store::OpenError
        lumos_store::SnapshotError
        lumos_timestamp::Error
        lumos_worker::WorkerError
        lumos_worker::tree::TreeError
    }
    None
}
