/* Preloaded into the program: a file system without locks, second names, and syncing of folders. */
#include <errno.h>
#include <unistd.h>

int flock(int fd, int operation);
int flock(int fd, int operation)
{
    (void)fd, (void)operation;
    errno = ENOSYS;
    return -1;
}

int fsync(int fd)
{
    (void)fd;
    errno = EINVAL;
    return -1;
}

int link(const char *from, const char *to)
{
    (void)from, (void)to;
    errno = EPERM;
    return -1;
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    (void)from_folder, (void)from, (void)to_folder, (void)to, (void)flags;
    errno = EPERM;
    return -1;
}
