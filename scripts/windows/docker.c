/* Stands in for docker.exe, which cannot run here: notes its words, tells versions, and has no engine behind it. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define FOLDER "C:\\pgtest\\"

int main(int argc, char **argv)
{
    FILE *log = fopen(FOLDER "docker.log", "a");
    if (log) {
        for (int i = 1; i < argc; i++)
            fprintf(log, "[%s]", argv[i]);
        fprintf(log, "\n");
        fclose(log);
    }
    const char *verb = argc > 1 ? argv[1] : "", *last = argc > 1 ? argv[argc - 2] : "";
    if (!strcmp(verb, "version")) {
        /* As long as a test wants it, so that another pgcluster meets the lock. */
        while (GetFileAttributesA(FOLDER "hold") != INVALID_FILE_ATTRIBUTES)
            Sleep(50);
        puts("{\"Client\":{\"Version\":\"28.2.2\"},\"Server\":{\"Version\":\"27.5.1\"}}");
    } else if (!strcmp(verb, "compose") && !strcmp(last, "version")) {
        puts("2.40.3");
    } else if (!strcmp(verb, "compose")) {
        fputs("there is no engine here\n", stderr);
        return 1;
    }
    return 0;
}
