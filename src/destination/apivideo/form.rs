//! A part as a form with one file field: prefix, part, suffix, its length known beforehand; pure but
//! for the part inside.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use percent_encoding::percent_encode_byte;

use crate::body::PartBody;

/// The longest file name that is sent, in bytes.
const LONGEST_NAME: usize = 200;

/// The body of a `multipart/form-data` request with one part of a file in the field `file`.
#[derive(Debug)]
pub(super) struct FileForm {
    prefix: Bytes,
    part: PartBody,
    suffix: Bytes,
}

impl FileForm {
    /// A form around a part. The boundary must not occur in the part; a random one does not.
    pub(super) fn new(boundary: &str, file_name: &str, mime: &str, part: PartBody) -> Self {
        Self {
            prefix: prefix(boundary, file_name, mime).into(),
            part,
            suffix: suffix(boundary).into(),
        }
    }
}

/// What stands before the part.
fn prefix(boundary: &str, file_name: &str, mime: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
         Content-Type: {mime}\r\n\r\n",
        quoted(file_name)
    )
}

/// What stands after it.
fn suffix(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

/// A file name as it may stand between the quotes: what would end them, and control characters, are
/// percent-encoded as browsers do it (WHATWG HTML, multipart/form-data).
fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if out.len() >= LONGEST_NAME {
            break;
        }
        if c == '"' || c == '\\' || c.is_control() {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                out.push_str(percent_encode_byte(byte));
            }
        } else {
            out.push(c);
        }
    }
    if out.is_empty() {
        "file".to_owned()
    } else {
        out
    }
}

impl Body for FileForm {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.prefix.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.prefix)))));
        }
        if !self.part.is_end_stream() {
            return Pin::new(&mut self.part).poll_frame(context);
        }
        match std::mem::take(&mut self.suffix) {
            suffix if suffix.is_empty() => Poll::Ready(None),
            suffix => Poll::Ready(Some(Ok(Frame::data(suffix)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.suffix.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let around = (self.prefix.len() + self.suffix.len()) as u64;
        SizeHint::with_exact(around + self.part.len())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        body::{Progress, Reading},
        limiter::BandwidthLimiter,
        plan::Part,
        settings::Bandwidth,
    };

    #[tokio::test]
    async fn a_form_is_as_long_as_it_says_and_holds_exactly_the_part() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let part = Part {
            number: 1,
            offset: 2,
            length: 5,
        };
        let cap = BandwidthLimiter::new(Bandwidth::Unlimited);
        let body = PartBody::new(
            Arc::new(file),
            part,
            &Reading::default(),
            cap.share(),
            Arc::new(Progress::default()),
        );
        let form = FileForm::new("XyZ", "a \"b\".mp4", "video/mp4", body);
        let announced = form.size_hint().exact().unwrap();
        let bytes = form.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, announced);
        assert_eq!(
            bytes,
            "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a %22b%22.mp4\"\r\n\
             Content-Type: video/mp4\r\n\r\n23456\r\n--XyZ--\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_file_name_breaks_out_of_its_quotes(name: String) {
            let quoted = quoted(&name);
            prop_assert!(!quoted.is_empty() && quoted.len() < LONGEST_NAME + 12);
            prop_assert!(!quoted.chars().any(|c| c == '"' || c.is_control()));
        }
    }
}
