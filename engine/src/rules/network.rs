//! Addresses: who binds them, and whether somebody has them already.

use super::Judge;
use crate::diagnostic::Diagnostic;
use crate::effect::{Application, Effect, Program, Socket, SocketOptions, Sort};
use crate::plan::Step;

impl Judge<'_> {
    /// Binding failed because the address is taken: by an earlier step, where one binds it.
    pub(super) fn address_in_use(&self, i: usize, step: &Step, will: String) -> Diagnostic {
        let finding = Diagnostic::error("RSD0602", will)
            .help("bind an address once; several phases can share what one has bound");
        let binds = |s: &Step, e: &Effect| matches!(e, Effect::Bind { .. }) && s.effects.contains(e);
        match self.steps().find(|(n, s)| *n < i && step.effects.iter().any(|e| binds(s, e))) {
            Some((_, first)) => finding.with(first.at, "bound here already").phase(&first.phase),
            None => finding,
        }
    }

    /// The name of a socket is left behind when the daemon ends in good order.
    pub(super) fn sockets_left_behind(&self) -> Vec<Diagnostic> {
        if self.serving().is_none() {
            return Vec::new();
        }
        let guard = self.steps().find(|(_, s)| s.effects.contains(&Effect::KeepGuard));
        let mut found = Vec::new();
        for (i, step, effect) in self.effects() {
            let Effect::Bind { socket: socket @ Socket::Unix(path), options } = effect else { continue };
            let left = self.simulation.model.sockets_left().any(|left| left == path);
            if options.keep || !left || self.fails(step) {
                continue;
            }
            let removes = |e: &Effect| matches!(e, Effect::RemoveSocket { path: p } if p == path);
            let finding = Diagnostic::note_finding("RSD0605", format!("{socket} stays when the daemon ends"))
                .at(step.at, "its name is made here")
                .phase(&step.phase)
                .note("who connects is refused then (ECONNREFUSED); the next start takes its place if nobody listens behind it");
            found.push(match (self.steps().find(|(_, s)| s.effects.iter().any(removes)), guard) {
                // That it fails is told by itself.
                (Some((_, remove)), _) if self.fails(remove) => continue,
                (Some((_, remove)), Some((g, guard))) if g < i => finding
                    .with(guard.at, "the guard was forked before, and has no handle of it")
                    .phase(&guard.phase)
                    .phase(&remove.phase)
                    .help(format!("let `{}` need `{}`", remove.phase, step.phase)),
                _ => finding.help(
                    "add a phase of kind `remove-sockets` that needs the one that serves; or write `keep` behind the address",
                ),
            });
        }
        found
    }

    /// An address is bound, and no application that is started later takes it.
    pub(super) fn bound_for_nobody(&self) -> Vec<Diagnostic> {
        let program = self.effects().find_map(|(_, step, effect)| match effect {
            Effect::Application(Application::Load(program)) => Some((step, program)),
            _ => None,
        });
        let start =
            self.effects().filter(|(_, _, e)| matches!(e, Effect::Application(Application::Start(_)))).last();
        let mut found = Vec::new();
        for (i, step) in self.steps() {
            let late = start.is_none_or(|(s, _, _)| s < i);
            let left: Vec<(&Socket, &SocketOptions)> = step
                .effects
                .iter()
                .filter_map(|e| match e {
                    Effect::Bind { socket, options } => Some((socket, options)),
                    _ => None,
                })
                .filter(|(socket, options)| {
                    late || program.is_some_and(|(_, program)| !takes(program, socket, options))
                })
                .collect();
            let Some((first, options)) = left.first().filter(|_| !self.fails(step)) else { continue };
            let names: Vec<String> = left.iter().map(|(socket, _)| socket.to_string()).collect();
            let finding =
                Diagnostic::warning("RSD0603", format!("nobody takes {}", crate::text::list(&names)))
                    .at(step.at, "bound here")
                    .phase(&step.phase)
                    .note(match first {
                        Socket::Udp(_) | Socket::Unix(_) | Socket::Abstract(_)
                            if options.sort == Sort::Datagram || matches!(first, Socket::Udp(_)) =>
                        {
                            "the kernel keeps what is sent there, and nobody reads it"
                        }
                        _ => "the kernel accepts connections to it, and whoever connects waits for ever",
                    });
            found.push(match (start, program) {
                (None, _) => finding.help("add a phase that starts the application, or bind nothing"),
                (Some((_, start, _)), _) if late => finding
                    .with(start.at, "the application is given its sockets here, before it")
                    .phase(&start.phase)
                    .sooner(&step.phase, &start.phase),
                (_, Some((load, program))) if program.is_twisted() => finding
                    .with(load.at, "a Twisted application binds its own ports and is given none")
                    .phase(&load.phase)
                    .help("name the address in the application, and leave it away here"),
                (_, load) => {
                    let finding =
                        finding.help("name a program that reads datagrams, or leave the address away");
                    match load {
                        Some((load, _)) => finding
                            .with(load.at, "the built-in application answers TCP and unix sockets only")
                            .phase(&load.phase),
                        None => finding,
                    }
                }
            });
        }
        found
    }
}

/// Whether an application does something with a socket that it is given.
fn takes(program: &Program, socket: &Socket, options: &SocketOptions) -> bool {
    let built_in = program.command.is_empty() && !program.is_twisted();
    !(program.is_twisted() || built_in && !socket.is_stream(options))
}
