//! Streams that keep order, delay, break, and are found broken late.

use super::{Event, Fleet, HEARTBEAT, SECOND};
use crate::agent::{Down, Phase, Up};

/// An agent's latest stream; both sides may think differently of it.
pub(super) struct Link {
    pub(super) session: u64,
    broken: bool,
    /// When the last message arrives, by direction: streams keep order.
    last_up: u64,
    last_down: u64,
}

impl Fleet {
    pub(super) fn connect(&mut self, agent: usize) {
        if !self.agents[agent].up || self.agents[agent].session.is_some() {
            return;
        }
        self.sessions += 1;
        let session = self.sessions;
        self.links[agent] = Link {
            session,
            ..no_link()
        };
        self.agents[agent].session = Some(session);
        let supervisors = self.agents[agent].supervisors.iter();
        let held = supervisors
            .map(|(fence, supervisor)| (*fence, supervisor.phase != Phase::Preparing))
            .collect();
        let sent = self.now;
        self.send_up(agent, Up::Hello { held, sent });
        self.at(self.now + HEARTBEAT, Event::Heartbeat(agent, session));
        if !self.up {
            self.break_link(agent);
        }
    }

    pub(super) fn send_up(&mut self, agent: usize, up: Up) {
        let Some(session) = self.agents[agent].session else {
            return;
        };
        let delay = self.delay(agent);
        let link = &mut self.links[agent];
        if !link.broken {
            link.last_up = link.last_up.max(self.now + delay);
            let at = link.last_up;
            self.at(at, Event::ToCoordinator(agent, session, up));
        }
    }

    pub(super) fn send_down(&mut self, agent: usize, down: Down) {
        let session = self.served[agent];
        let delay = self.delay(agent);
        let link = &mut self.links[agent];
        if !link.broken && session == Some(link.session) {
            link.last_down = link.last_down.max(self.now + delay);
            let (at, session) = (link.last_down, link.session);
            self.at(at, Event::ToAgent(agent, session, down));
        }
    }

    /// How long a message takes; now and then it is lost and the stream with it.
    pub(super) fn delay(&mut self, agent: usize) -> u64 {
        if self.faults && self.random.chance(1) {
            if self.random.chance(50) {
                self.break_link(agent);
            }
            return self.random.range(1, 40 * SECOND);
        }
        self.random.range(1, 200)
    }

    /// What is on its way is lost; the sides notice when they do.
    pub(super) fn break_link(&mut self, agent: usize) {
        let link = &mut self.links[agent];
        link.broken = true;
        let session = link.session;
        self.events.retain(|_, event| match event {
            Event::ToCoordinator(a, s, _) | Event::ToAgent(a, s, _) => (*a, *s) != (agent, session),
            _ => true,
        });
        self.soon(30 * SECOND, Event::AgentNotices(agent, session));
        self.soon(30 * SECOND, Event::CoordinatorNotices(agent, session));
    }
}

pub(super) fn no_link() -> Link {
    Link {
        session: 0,
        broken: false,
        last_up: 0,
        last_down: 0,
    }
}
