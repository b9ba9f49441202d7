// Leaves an object of IPC behind: shm, sem or msg of System V, or a message queue of POSIX.
#include <fcntl.h>
#include <mqueue.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int left = -1;
  if (strcmp(what, "shm") == 0) left = shmget(7, 4096, IPC_CREAT | 0666);
  if (strcmp(what, "sem") == 0) left = semget(7, 1, IPC_CREAT | 0666);
  if (strcmp(what, "msg") == 0) left = msgget(7, IPC_CREAT | 0666);
  if (strcmp(what, "queue") == 0) left = (int)mq_open("/leak", O_CREAT | O_RDWR, 0666, NULL);
  return left < 0;
}
