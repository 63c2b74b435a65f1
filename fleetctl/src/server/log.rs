//! `fleetctl job log`: what a job wrote, without gap or repeat, over as many
//! connections as it takes.

use std::time::Duration;

use bytes::Bytes;
use fleet_proto::v1;
use tokio::time::{sleep, sleep_until};

use crate::cli::ReadLog;
use crate::client::{Client, Patience, Unanswered};
use crate::output::Printer;
use crate::view::{Line, Reader, strip};
use crate::{Exit, Failure};

/// Between the end of a stream and another try.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two looks for a try that is to come.
const LOOK: Duration = Duration::from_secs(1);

/// Prints the log of a job.
///
/// # Errors
/// There is no such job or try, or --timeout is over.
pub(super) async fn print(
    job: u64,
    arguments: &ReadLog,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let asked = arguments.attempt.map(|number| number.get());
    if !arguments.follow {
        let about = about(job, client).await?;
        let Some(number) = asked.or(about.attempts.last().map(|last| last.number)) else {
            out.hint(&format!(
                "job {job} ({}) has written nothing: it is {}. Next: fleetctl job explain {job}",
                about.name, about.status
            ));
            return Ok(Exit::Done);
        };
        let mut printed = Printed::new(arguments.raw, out);
        let mut reading = Reading::new(job, number, false);
        return match reading.listen(client, &mut printed, None).await {
            Ok(()) => printed.finish(),
            Err(Stop::Unread) => Ok(Exit::Done),
            Err(Stop::Failure(failure)) => Err(failure),
            Err(Stop::Unanswered(unanswered)) => Err(client.failure(&unanswered)),
        };
    }
    out.on_interrupt(format!("job {job} goes on. Next: fleetctl job show {job}"));
    client
        .within(
            &format!("job {job}, which goes on"),
            follow(job, asked, arguments.raw, client, out),
        )
        .await?
}

/// Prints one try after the other until the job has ended, or the one that is asked
/// for.
async fn follow(
    job: u64,
    asked: Option<u32>,
    raw: bool,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let mut patience = client.patience();
    let mut done = 0;
    let mut is_told = false;
    loop {
        let about = match client
            .attempt(client.jobs().get_job(v1::GetJobRequest { id: job }))
            .await
        {
            Ok(about) => about,
            Err(unanswered) => {
                wait(&mut patience, client, &unanswered, out).await?;
                continue;
            }
        };
        back(&mut patience, out);
        let next = about
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .filter(|number| *number > done)
            .filter(|number| asked.is_none_or(|asked| asked == *number))
            // Of the tries that were before nobody asked.
            .max();
        let Some(number) = next else {
            let is_over = matches!(
                about.status.as_str(),
                "success" | "failed" | "canceled" | "skipped"
            );
            if is_over || asked.is_some_and(|asked| asked == done) {
                if done == 0 {
                    out.hint(&format!("job {job} is {} and wrote nothing", about.status));
                }
                return Ok(Exit::Done);
            }
            if !is_told {
                out.hint(&format!(
                    "job {job} is {}; waiting for it to start. Why: fleetctl job explain {job}",
                    about.status
                ));
                is_told = true;
            }
            client.pause(LOOK, &format!("job {job} to start")).await?;
            continue;
        };
        if done > 0 {
            out.hint(&format!("job {job} is tried again: try {number}"));
        }
        is_told = false;
        let mut printed = Printed::new(raw, out);
        let mut reading = Reading::new(job, number, true);
        loop {
            match reading
                .listen(client, &mut printed, Some(&mut patience))
                .await
            {
                Ok(()) if has_ended(job, number, client).await => break,
                // The log's end is known before the try's; or the coordinator goes away.
                Ok(()) => sleep(AGAIN).await,
                Err(Stop::Unread) => return Ok(Exit::Done),
                Err(Stop::Failure(failure)) => return Err(failure),
                Err(Stop::Unanswered(unanswered)) => {
                    wait(&mut patience, client, &unanswered, out).await?;
                }
            }
        }
        printed.finish()?;
        done = number;
    }
}

async fn about(job: u64, client: &Client) -> Result<v1::Job, Failure> {
    client
        .call(client.jobs().get_job(v1::GetJobRequest { id: job }))
        .await
}

async fn has_ended(job: u64, number: u32, client: &Client) -> bool {
    let Ok(about) = about(job, client).await else {
        return false;
    };
    about
        .attempts
        .iter()
        .any(|attempt| attempt.number == number && !attempt.status.is_empty())
}

/// Waits for the coordinator to come back.
async fn wait(
    patience: &mut Patience,
    client: &Client,
    unanswered: &Unanswered,
    out: &Printer,
) -> Result<(), Failure> {
    let retry = patience.after(client, unanswered)?;
    if let Some(note) = retry.note {
        out.hint(&note);
    }
    sleep_until(retry.at).await;
    Ok(())
}

fn back(patience: &mut Patience, out: &Printer) {
    if let Some(back) = patience.answered() {
        out.hint(back);
    }
}

/// One try's log, and how much of it was read.
struct Reading {
    job: u64,
    attempt: u32,
    follow: bool,
    /// Bytes that were read.
    offset: u64,
}

impl Reading {
    fn new(job: u64, attempt: u32, follow: bool) -> Reading {
        Reading {
            job,
            attempt,
            follow,
            offset: 0,
        }
    }

    /// Reads on from where it was left, to the end of the stream.
    async fn listen(
        &mut self,
        client: &Client,
        printed: &mut Printed<'_>,
        patience: Option<&mut Patience>,
    ) -> Result<(), Stop> {
        let request = v1::ReadLogRequest {
            job: self.job,
            attempt: self.attempt,
            offset: self.offset,
            follow: self.follow,
        };
        let mut stream = client.attempt(client.jobs().read_log(request)).await?;
        if let Some(patience) = patience {
            back(patience, printed.out);
        }
        loop {
            let message = stream.message().await.map_err(Unanswered::from)?;
            let Some(chunk) = message else {
                return Ok(());
            };
            let new = self.new_bytes(chunk)?;
            if !printed.take(&new)? {
                return Err(Stop::Unread);
            }
        }
    }

    /// What of a chunk was not read before.
    fn new_bytes(&mut self, chunk: v1::LogChunk) -> Result<Bytes, Failure> {
        if chunk.offset > self.offset {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "the log of job {} goes on at byte {} and {} were read: the rest is missing on the server",
                    self.job, chunk.offset, self.offset
                ),
            ));
        }
        let known = usize::try_from(self.offset - chunk.offset).unwrap_or(usize::MAX);
        let new = chunk.data.slice(known.min(chunk.data.len())..);
        self.offset += new.len() as u64;
        Ok(new)
    }
}

/// Why reading stopped before the end of the stream.
enum Stop {
    Unanswered(Unanswered),
    Failure(Failure),
    /// The reader of stdout has what it wanted.
    Unread,
}

impl From<Unanswered> for Stop {
    fn from(unanswered: Unanswered) -> Stop {
        Stop::Unanswered(unanswered)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

/// What of a log goes to stdout: all of it, or lines in which only colours steer the
/// terminal.
struct Printed<'a> {
    out: &'a Printer,
    /// None: every byte.
    reader: Option<Reader>,
}

impl Printed<'_> {
    fn new(raw: bool, out: &Printer) -> Printed<'_> {
        Printed {
            out,
            reader: (!raw).then(Reader::default),
        }
    }

    /// Prints what came; says whether anybody reads it.
    fn take(&mut self, data: &[u8]) -> Result<bool, Failure> {
        let text = match &mut self.reader {
            None => return crate::print_on(data),
            Some(reader) => text(reader.push(data), self.out.terminal().color),
        };
        crate::print_on(text.as_bytes())
    }

    fn finish(self) -> Result<Exit, Failure> {
        let color = self.out.terminal().color;
        match self.reader {
            None => Ok(Exit::Done),
            Some(mut reader) => crate::print(text(reader.finish(), color).as_bytes()),
        }
    }
}

fn text(lines: Vec<Line>, color: bool) -> String {
    let mut text = String::new();
    for line in lines {
        if color {
            text.push_str(&line.text);
            if line.text.contains('\u{1b}') {
                text.push_str("\u{1b}[0m");
            }
        } else {
            text.push_str(&strip(&line.text));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, data: &'static str) -> v1::LogChunk {
        v1::LogChunk {
            offset,
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn log_is_read_on_without_gap_or_repeat() {
        let mut reading = Reading::new(7, 1, true);
        let mut read = |chunk| {
            reading
                .new_bytes(chunk)
                .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        assert_eq!(read(chunk(0, "abc")).unwrap(), "abc");
        assert_eq!(read(chunk(1, "bcde")).unwrap(), "de");
        assert_eq!(read(chunk(0, "ab")).unwrap(), "");
        assert_eq!(read(chunk(5, "f")).unwrap(), "f");
        let gap = read(chunk(9, "x")).unwrap_err();
        assert!(gap.to_string().contains("byte 9 and 6 were read"), "{gap}");
    }

    #[test]
    fn only_colours_reach_the_terminal() {
        let mut reader = Reader::default();
        let log = b"section_start:1:step_script\r\x1b[0K\x1b[32mgreen\n\x1b]52;c;Zm9v\x07\x1b[2Jstill\x1b[0m\nplain";
        let mut lines = reader.push(log);
        lines.extend(reader.finish());
        assert_eq!(
            text(lines.clone(), true),
            "\x1b[32mgreen\x1b[0m\n\x1b[32mstill\x1b[0m\x1b[0m\nplain\n"
        );
        assert_eq!(text(lines, false), "green\nstill\nplain\n");
    }
}
