from twisted.application.service import Application; application = Application("t")
