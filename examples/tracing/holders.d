#!/usr/sbin/dtrace -s
/*
 * Who holds a connection for long. More is told in holders.bt.
 *
 *   dtrace -s examples/tracing/holders.d -p PID [MILLISECONDS, 100 unless said]
 *
 * D can keep no stack in a variable, so who claims is written down speculatively, and told if the connection is held for
 * so long. Nor can it walk through an array: what is still held is not told of but by its number, in the end.
 */

#pragma D option quiet
#pragma D option defaultargs
#pragma D option nspec=256
#pragma D option specsize=4k
/* Speculations are taken up and dropped this often. */
#pragma D option cleanrate=100hz

dtrace:::BEGIN
{
	limit = ($1 > 0 ? $1 : 100) * 1000000;
	printf("Tracing who holds a connection for %d ms or longer. Ctrl-C ends it.\n", limit / 1000000);
}

qorb$target:::handle-claimed
{
	since[copyinstr(arg0), arg2] = timestamp;
	page[copyinstr(arg0), arg2] = speculation();
	@now[copyinstr(arg0)] = sum(1);
}

qorb$target:::handle-claimed
/page[copyinstr(arg0), arg2]/
{
	speculate(page[copyinstr(arg0), arg2]);
	printf("%s: slot %d.%d was claimed by", copyinstr(arg0), arg2 >> 48, arg2 & 0xffffffffffff);
	ustack(24);
}

qorb$target:::handle-returned
/since[copyinstr(arg0), arg1]/
{
	this->ns = timestamp - since[copyinstr(arg0), arg1];
	@held[copyinstr(arg0)] = quantize(this->ns / 1000000);
	@now[copyinstr(arg0)] = sum(-1);
}

qorb$target:::handle-returned
/since[copyinstr(arg0), arg1] && timestamp - since[copyinstr(arg0), arg1] >= limit/
{
	printf("%s: slot %d.%d was held for %d ms\n", copyinstr(arg0), arg1 >> 48, arg1 & 0xffffffffffff,
	    (timestamp - since[copyinstr(arg0), arg1]) / 1000000);
}

qorb$target:::handle-returned
/page[copyinstr(arg0), arg1] && timestamp - since[copyinstr(arg0), arg1] >= limit/
{
	commit(page[copyinstr(arg0), arg1]);
	page[copyinstr(arg0), arg1] = 0;
}

qorb$target:::handle-returned
/page[copyinstr(arg0), arg1]/
{
	discard(page[copyinstr(arg0), arg1]);
	page[copyinstr(arg0), arg1] = 0;
}

qorb$target:::handle-returned
{
	since[copyinstr(arg0), arg1] = 0;
}

dtrace:::END
{
	printf("\nheld for so many milliseconds:\n");
	printa("  %s%@d\n", @held);
	printf("held now:\n");
	printa("  %s: %@d\n", @now);
}
