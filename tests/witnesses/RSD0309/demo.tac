from twisted.application import service

application = service.Application("demo", uid=4000, gid=4000)
