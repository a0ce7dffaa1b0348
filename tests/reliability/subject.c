/* The daemon program of the tables: it does nothing that could change what it was given.
   `subject` waits for a signal; `subject die` complains and ends. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
    const char *text = "here I am\n";
    if (count > 1 && strcmp(words[1], "die") == 0) {
        text = "no such luck\n";
        return write(2, text, strlen(text)) < 0 ? 2 : 3;
    }
    if (write(1, text, strlen(text)) < 0) return 2;
    for (;;) pause();
}
