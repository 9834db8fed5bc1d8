/* Checks on what two entries mean together. */
#include "reader.h"

int check_model(struct reader *reader)
{
	(void)reader;
	return 0;
}

void check_warnings(struct reader *reader)
{
	(void)reader;
}
