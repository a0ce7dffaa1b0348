//! `start-application`: from here the application's own code runs.

super::plain!(
    "start-application",
    "Starts the application; done when it is ready.",
    "A program is ready when its exec has succeeded. It gets default signal dispositions and an empty mask, the \
     listening sockets as LISTEN_FDS, no other descriptor above 2, and is ended if the start fails after all.",
    engine::effect::Effect::Application(engine::effect::Application::Start)
);
