// A file system that lacks things, for a program that is started with this library preloaded.
//
// LACKS names what is missing and the errno instead, as "links=1,folder-sync=22,flock=37,inodes=1", and
// LACKS_UNDER the folder that is on that file system. Links are refused everywhere: the program makes
// that call without the C library, so that a seccomp filter has to refuse it, which sees no paths. With
// "inodes", each look at a file by its name says another inode number.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

// The errno that LACKS has for this; 0 where it does not name it.
static int lacks(const char *what) {
    const char *list = getenv("LACKS");
    size_t length = strlen(what);
    while (list && *list) {
        if (!strncmp(list, what, length) && list[length] == '=') {
            return atoi(list + length + 1);
        }
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return 0;
}

static int is_under(const char *path) {
    const char *folder = getenv("LACKS_UNDER");
    return folder && !strncmp(path, folder, strlen(folder));
}

// The errno where the file with this descriptor is on that file system.
static int refusal(const char *what, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = 0;
    return is_under(path) ? lacks(what) : 0;
}

int flock(int fd, int operation) {
    int error = refusal("flock", fd);
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

int fsync(int fd) {
    struct stat file;
    int is_folder = !fstat(fd, &file) && S_ISDIR(file.st_mode);
    int error = is_folder ? refusal("folder-sync", fd) : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int statx(int folder, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict file) {
    static unsigned looks;
    int answer = (int)syscall(SYS_statx, folder, path, flags, mask, file);
    if (!answer && S_ISREG(file->stx_mode) && is_under(path) && lacks("inodes")) {
        file->stx_ino += 1000000 * ++looks;
    }
    return answer;
}

#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

__attribute__((constructor)) static void refuse_links(void) {
    int error = lacks("links");
    if (!error) {
        return;
    }
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_linkat, 0, 1),
        REFUSE(error),
#ifdef SYS_link
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_link, 0, 1),
        REFUSE(error),
#endif
        // A rename that replaces nothing, which such file systems do not have either.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
        LOAD(args[4]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
        REFUSE(EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("links can't be refused");
        _exit(99);
    }
}
