//! Files that go out and come in, streamed. Where they lie is the caller's choice.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Body, Response, multipart};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt as _,
};
use tokio_util::io::ReaderStream;

use crate::{HttpError, Part};

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 64 << 10;

pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// Streams a body into the new file `into`.
pub(crate) async fn receive(
    mut response: Response,
    at: &str,
    into: &Path,
    limit_bytes: u64,
) -> Result<u64, HttpError> {
    let too_large = || HttpError::TooLarge {
        at: at.to_owned(),
        limit_bytes,
    };
    if response.content_length().unwrap_or(0) > limit_bytes {
        return Err(too_large());
    }
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).open(into).await;
    let mut file = opened.map_err(|error| HttpError::file(into, error))?;
    let mut size_bytes: u64 = 0;
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| HttpError::of_call(at, error))?
    {
        size_bytes += chunk.len() as u64;
        if size_bytes > limit_bytes {
            return Err(too_large());
        }
        let written = file.write_all(&chunk).await;
        written.map_err(|error| HttpError::file(into, error))?;
    }
    let flushed = file.flush().await;
    flushed.map_err(|error| HttpError::file(into, error))?;
    Ok(size_bytes)
}

/// A body that is read from the file `from` while it is sent, and its size.
pub(crate) async fn body(from: &Path) -> Result<(Body, u64), HttpError> {
    // Asked before it is opened: opening a pipe waits until somebody writes into it.
    let metadata = tokio::fs::metadata(from).await;
    let metadata = metadata.map_err(|error| HttpError::file(from, error))?;
    if !metadata.is_file() {
        return Err(HttpError::file(from, "it is no regular file"));
    }
    let opened = File::open(from).await;
    let file = opened.map_err(|error| HttpError::file(from, error))?;
    let stream = ReaderStream::with_capacity(file, CHUNK_BYTES);
    Ok((Body::wrap_stream(stream), metadata.len()))
}

pub(crate) async fn form(parts: &[Part<'_>]) -> Result<multipart::Form, HttpError> {
    let mut form = multipart::Form::new();
    for part in parts {
        form = match part {
            Part::Text { name, value } => form.text(name.clone(), value.clone()),
            Part::File {
                name,
                file_name,
                path,
            } => {
                let (body, size_bytes) = body(path).await?;
                let part = multipart::Part::stream_with_length(body, size_bytes);
                form.part(name.clone(), part.file_name(file_name.clone()))
            }
        };
    }
    Ok(form)
}
