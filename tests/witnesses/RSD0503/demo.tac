import os
from twisted.application import service

with open("made-by-the-application", "w") as made:
    made.write("uid %d\n" % os.geteuid())
application = service.Application("demo")
