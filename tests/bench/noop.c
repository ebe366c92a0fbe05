/* A program that does nothing, linked statically: what a process costs by itself. */
int main(void) { return 0; }
