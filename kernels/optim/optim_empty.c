typedef int spx_optim_empty;
