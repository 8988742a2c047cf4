typedef int spx_graph_empty;
