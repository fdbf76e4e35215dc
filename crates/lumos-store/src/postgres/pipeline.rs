//! Several statements on the wire at once. The server runs them in the order in which their futures are first
//! polled, which is what this keeps; joins of the usual kind may poll in any.

use std::{future::poll_fn, pin::Pin, task::Poll};

/// A statement that runs when it is first polled.
pub(super) type Sent<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends all of them in order before it waits for any; their answers come in the same order.
pub(super) async fn in_order<T>(mut futures: Vec<Sent<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = Vec::with_capacity(futures.len());
    let mut polled = false;
    poll_fn(|cx| {
        if !polled {
            polled = true;
            for future in &mut futures {
                answers.push(match future.as_mut().poll(cx) {
                    Poll::Ready(answer) => Some(answer),
                    Poll::Pending => None,
                });
            }
        }
        Poll::Ready(())
    })
    .await;
    let mut all = Vec::with_capacity(answers.len());
    for (answer, future) in answers.into_iter().zip(futures) {
        all.push(match answer {
            Some(answer) => answer,
            None => future.await,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn all_begin_in_order_before_any_is_waited_for() {
        let told = Mutex::new(Vec::new());
        let work = |n: usize| -> Sent<'_, usize> {
            let told = &told;
            Box::pin(async move {
                told.lock().unwrap().push(format!("begin {n}"));
                for _ in 0..3 - n {
                    yield_now().await;
                }
                told.lock().unwrap().push(format!("end {n}"));
                n
            })
        };
        assert_eq!(in_order((0..3).map(work).collect()).await, [0, 1, 2]);
        let told = told.into_inner().unwrap();
        assert_eq!(told[..3], ["begin 0", "begin 1", "begin 2"]);
    }
}
