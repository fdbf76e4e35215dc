//! What LUMOS's own agents leave alone when they look at the whole ledger again, as they do after a restore.

use lumos_domain::id::{Environment, ReleaseId};
use lumos_engine::{DoorError, runtime::Hand};

/// Whether the entry in hand came before a restore, and the last review of `release` for `environment` has ended: then it
/// was decided about, and is not decided anew by what holds today. Whoever wants that asks again.
pub(crate) async fn is_decided(
    hand: &Hand,
    release: &ReleaseId,
    environment: &Environment,
) -> Result<bool, DoorError> {
    hand.door
        .ask(|world| {
            let again = world.org()?.reread.is_some_and(|size| hand.entry() < size);
            Ok(match world.release(release)?.reviews.get(environment) {
                Some(last) if again => !world.review(last)?.is_open(),
                _ => false,
            })
        })
        .await
}
