/* A driver of a camera that stands in front of libc: /dev/video0 gives 96x64 YUYV pictures, black at the left and white at the right.
   PLANTED_FRAMES: the camera is pulled out after so many; PLANTED_HANG: it hangs after so many;
   PLANTED_BUSY: another program uses it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 96, HEIGHT = 64, SIZE = 2 * WIDTH * HEIGHT, SLOT = 16384, MOST = 32 };

static int device = -1, given = 0, waiting = 0, queue[MOST];

static int opened(const char *path)
{
    if (strcmp(path, "/dev/video0") != 0)
        return -1;
    device = memfd_create("camera", 0); /* so that mmap is the kernel's own */
    return ftruncate(device, MOST * SLOT) == 0 ? device : -1;
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int), fake = opened(path);
    va_end(rest);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    return fake >= 0 ? fake : real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int), fake = opened(path);
    va_end(rest);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    return fake >= 0 ? fake : real(path, flags, mode);
}

static int refused(int why)
{
    errno = why;
    return -1;
}

static int so_many(const char *variable)
{
    const char *most = getenv(variable);
    return most && given >= atoi(most);
}

static int next_picture(struct v4l2_buffer *buffer)
{
    usleep(40000);
    if (so_many("PLANTED_FRAMES"))
        return refused(ENODEV);
    while (so_many("PLANTED_HANG"))
        sleep(1000);
    if (waiting == 0)
        return refused(EAGAIN);
    buffer->index = queue[0];
    memmove(queue, queue + 1, --waiting * sizeof *queue);
    unsigned char picture[SIZE];
    for (int i = 0; i < SIZE; i += 2)
        picture[i] = i / 2 % WIDTH < WIDTH / 2 ? 16 : 235, picture[i + 1] = 128;
    if (pwrite(device, picture, SIZE, (off_t)buffer->index * SLOT) != SIZE)
        return refused(EIO);
    buffer->bytesused = SIZE;
    buffer->sequence = given++;
    return 0;
}

static int answered(unsigned long request, void *argument)
{
    struct v4l2_buffer *buffer = argument;
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *can = argument;
        can->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_G_INPUT:
        return *(int *)argument = 0;
    case VIDIOC_ENUMINPUT:
        return ((struct v4l2_input *)argument)->index == 0 ? 0 : refused(EINVAL);
    case VIDIOC_S_FMT:
        if (getenv("PLANTED_BUSY"))
            return refused(EBUSY);
        if (((struct v4l2_format *)argument)->fmt.pix.pixelformat != V4L2_PIX_FMT_YUYV)
            return refused(EINVAL);
        __attribute__((fallthrough));
    case VIDIOC_G_FMT: {
        struct v4l2_format *format = argument;
        format->fmt.pix.width = WIDTH;
        format->fmt.pix.height = HEIGHT;
        format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
        format->fmt.pix.bytesperline = 2 * WIDTH;
        format->fmt.pix.sizeimage = SIZE;
        return 0;
    }
    case VIDIOC_G_PARM: {
        struct v4l2_streamparm *rate = argument;
        rate->parm.capture.timeperframe.numerator = 1;
        rate->parm.capture.timeperframe.denominator = 25;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = argument;
        wanted->count = wanted->count < MOST ? wanted->count : MOST;
        return 0;
    }
    case VIDIOC_QUERYBUF:
        buffer->length = SLOT;
        buffer->m.offset = buffer->index * SLOT;
        return 0;
    case VIDIOC_QBUF:
        queue[waiting++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return next_picture(buffer);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    }
    return refused(ENOTTY);
}

int ioctl(int file, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return file == device && device >= 0 ? answered((unsigned int)request, argument) : real(file, request, argument);
}
